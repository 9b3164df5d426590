/** One door: a transport protocol and a port, as in `tcp/22`. */
export interface ProtoPort {
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
}

/** `tcp/22` or `udp/53`: lower case, 1..65535, no leading zeros. Null for anything else. */
export function parseProtoPort(text: string): ProtoPort | null {
  const match = /^(tcp|udp)\/([1-9]\d{0,4})$/.exec(text);
  if (match === null || Number(match[2]) > 65_535) return null;
  return { protocol: match[1] as ProtoPort['protocol'], port: Number(match[2]) };
}

/** One or more {@link parseProtoPort}, separated by single commas. Null if any of them is not. */
export function parseProtoPorts(text: string): readonly ProtoPort[] | null {
  const ports = text.split(',').map(parseProtoPort);
  return ports.every((port) => port !== null) ? ports : null;
}

/** `tcp/22`. */
export function formatProtoPort(door: ProtoPort): string {
  return `${door.protocol}/${door.port}`;
}

/** `tcp/22,udp/53`. */
export function formatProtoPorts(doors: readonly ProtoPort[]): string {
  return doors.map(formatProtoPort).join(',');
}
