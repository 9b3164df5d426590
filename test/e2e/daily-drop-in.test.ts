import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { folderIn, lacking } from 'spa-lab';
import t from 'tap';
import { DAILY_PROGRAMS, dailyLab, isOnePacket } from './daily.ts';

t.setTimeout(120_000);

const TEXT = 'through the door\n';

t.test(
  'sshbh ssh in the place of ssh:',
  { skip: lacking(...DAILY_PROGRAMS, 'rsync', 'git', 'scp') },
  async (t) => {
    const lab = await dailyLab(t);
    const { operator } = lab;
    const { path } = folderIn(lab.scratch, 'files');
    mkdirSync(path('tree'));
    writeFileSync(path('tree', 'a'), TEXT);

    await t.test('rsync -e', async (t) => {
      const push = ['rsync', '-e', 'sshbh ssh', '-a', `${path('tree')}/`, `us-east-1:${path('pushed')}/`];
      const { result, packets } = await lab.during(() => operator.run(push));
      t.same(result, { status: 0, stdout: '', stderr: '' });
      t.equal(readFileSync(path('pushed', 'a'), 'utf8'), TEXT);
      t.ok(isOnePacket(packets), 'one packet');
      await operator.must([
        'rsync',
        '-e',
        'sshbh ssh',
        '-a',
        `${lab.user}@us-east-1:${path('pushed', 'a')}`,
        path('pulled'),
      ]);
      t.equal(readFileSync(path('pulled'), 'utf8'), TEXT, 'with a user, which rsync gives as -l');
      await lab.closeDoors();
    });

    await t.test('GIT_SSH_COMMAND', async (t) => {
      const git = (...args: readonly string[]) =>
        operator.must([
          ...[
            'env',
            'GIT_SSH_COMMAND=sshbh ssh',
            'git',
            '-c',
            'user.name=o',
            '-c',
            'user.email=o@example.com',
          ],
          ...args,
        ]);
      await git('init', '-q', '--bare', path('repository.git'));
      const { packets } = await lab.during(() =>
        git('clone', '-q', `us-east-1:${path('repository.git')}`, path('clone')),
      );
      t.ok(isOnePacket(packets), 'one packet');
      await lab.closeDoors();
      await git('-C', path('clone'), 'commit', '-q', '--allow-empty', '-m', 'first');
      await git('-C', path('clone'), 'push', '-q', 'origin', 'HEAD');
      t.equal(await git('-C', path('repository.git'), 'log', '--all', '--format=%s'), 'first\n');
      await git('clone', '-q', `ssh://${lab.user}@us-east-1${path('repository.git')}`, path('by-url'));
      await lab.closeDoors();
    });

    await t.test('what ssh only tells costs no packet', async (t) => {
      const { result, packets } = await lab.during(() => operator.run(['sshbh', 'ssh', '-G', 'us-east-1']));
      t.match(result, { status: 0, stdout: /^hostname bastion\.test$/m });
      t.equal(packets, 0, 'git asks this before each connection');
      t.match(await operator.run(['sshbh', 'ssh', '-V']), { status: 0, stderr: /^OpenSSH/ });
    });

    await t.test('scp -S and sftp -S, with a script of one line', async (t) => {
      const script = path('region-ssh');
      writeFileSync(script, '#!/bin/sh\nexec sshbh ssh "$@"\n', { mode: 0o755 });
      const from = path('tree', 'a');
      const copies = [
        { command: ['scp', '-q', '-S', script, from, `us-east-1:${path('scp')}`], to: 'scp' },
        { command: ['scp', '-q', '-O', '-S', script, from, `us-east-1:${path('scp-O')}`], to: 'scp-O' },
        { command: ['sftp', '-b', '-', '-S', script, 'us-east-1'], to: 'sftp' },
      ];
      for (const { command, to } of copies) {
        const { packets } = await lab.during(() => operator.must(command, `put ${from} ${path('sftp')}\n`));
        t.equal(readFileSync(path(to), 'utf8'), TEXT, to);
        t.ok(isOnePacket(packets), 'one packet');
        await lab.closeDoors();
      }
    });
  },
);
