/** Another run works on a folder. The message is one line that says which. Exit code 75. */
export class FolderBusyError extends Error {
  override readonly name = 'FolderBusyError';
}
