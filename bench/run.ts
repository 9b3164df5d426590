/** What a part of the bench is given. */
export interface Run {
  /** What is to be undone when the part ends, however that comes; the last first. */
  onEnd(undo: () => void | Promise<void>): void;
  /** Tells who watches. */
  progress(text: string): void;
  /** How often to do what a full run does `full` times: a quick look does less. */
  rounds(full: number): number;
}
