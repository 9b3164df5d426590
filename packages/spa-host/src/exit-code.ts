/** Exit codes of every program here, after sysexits.h. */
export const ExitCode = {
  ok: 0,
  failure: 1,
  usage: 64,
  unavailable: 69,
  software: 70,
  /** What was asked for cannot be written: the disk is full. */
  ioError: 74,
  /** Another run is at it: try again. */
  busy: 75,
  noPermission: 77,
  config: 78,
} as const;
