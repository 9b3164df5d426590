import type { ChildProcess } from 'node:child_process';

/** What a process says next over IPC. Rejects if it ends instead. */
export function nextAnswer<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: unknown): void => {
      child.off('exit', onExit);
      resolve(message as T);
    };
    const onExit = (): void => {
      child.off('message', onMessage);
      reject(new Error(`${child.spawnargs.join(' ')} has ended`));
    };
    child.once('message', onMessage);
    child.once('exit', onExit);
  });
}
