import { changeFiles, type FileMode } from '../src/roster/change-set.ts';
import { withFolderLock } from '../src/roster/folder-lock.ts';

// What keys-folder.test.ts kills: `change FOLDER` changes all files from one generation to the next, again and again;
// `hold FOLDER` takes the lock and keeps it; `add FOLDER` raises each number by one, once.

const [, , what = '', folder = ''] = process.argv;
const { generationOf, filesOf } = await import('./keys-folder-files.ts');

const MODE: FileMode = 0o644;

if (what === 'change') {
  for (;;) {
    await withFolderLock(folder, async () => changeFiles(folder, filesOf(generationOf(folder) + 1), MODE));
    process.stdout.write('.');
  }
}
if (what === 'hold') {
  await withFolderLock(folder, async () => {
    process.stdout.write('locked\n');
    await new Promise((resolve) => process.stdin.on('end', resolve).resume());
  });
}
if (what === 'add') {
  for (let left = 10; left > 0; ) {
    try {
      await withFolderLock(folder, async () => changeFiles(folder, filesOf(generationOf(folder) + 1), MODE));
      left -= 1;
    } catch (error) {
      if ((error as Error).name !== 'FolderBusyError') throw error;
    }
  }
}
