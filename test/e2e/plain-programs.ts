import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type CommandResult, folderIn, lacking } from 'spa-lab';
import t, { type Test } from 'tap';
import { DAILY_PROGRAMS, type Daily, dailyLab, isOnePacket } from './daily.ts';

/** Two hosts as `sshbh config` hooks them into ssh: a region, and a private host behind it. */
export interface Hooked {
  readonly style: 'match' | 'proxy';
  readonly region: string;
  readonly privateHost: string;
}

/** After `sshbh config` the programs of daily work go through the door, unchanged; not any more after `--remove`. */
export function plainProgramsWork({ style, region, privateHost }: Hooked): void {
  t.setTimeout(180_000);
  const skip = lacking(...DAILY_PROGRAMS, ...PROGRAMS);
  t.test(`plain programs in the ${style} style:`, { skip }, async (t) => {
    const lab = await dailyLab(t, {
      region: ['PRIVATE_HOSTS db-*'],
      others: ['[eu-west-1]', 'SPA_SERVER four.test', 'PRIVATE_HOSTS 10.78.0.*'],
    });
    const config = lab.home.path('.ssh', 'config');
    writeFileSync(config, SSH_CONFIG, { mode: 0o600 });
    await lab.operator.must(['sshbh', 'config']);
    const hook = style === 'match' ? 'open --if-needed' : 'connect';
    t.match(readFileSync(lab.home.path('.ssh', 'sshbh_config'), 'utf8'), `${hook} ${region}`);

    for (const host of [region, privateHost]) {
      for (const program of plainPrograms(lab, host)) {
        await t.test(`${program.name} ${host}`, async (t) => {
          const { result, packets } = await lab.during(program.run);
          t.equal(result.status, 0, 'exit status') || t.comment(JSON.stringify(result));
          await program.check(t, result);
          t.ok(isOnePacket(packets), 'one packet');
          await lab.closeDoors();
        });
      }
    }

    await t.test('nothing of it is left when it is removed', async (t) => {
      await lab.operator.must(['sshbh', 'config', '--remove']);
      t.equal(readFileSync(config, 'utf8'), SSH_CONFIG);
      t.not((await lab.operator.run(['ssh', '-o', 'ConnectTimeout=1', 'four.test', 'true'])).status, 0);
    });
  });
}

const PROGRAMS = ['scp', 'sftp', 'rsync', 'git', 'ansible'] as const;
/** The person's own. */
const SSH_CONFIG = 'Host elsewhere\n    User somebody\n';
const TEXT = 'through the door\n';

/** A program as anybody would call it, and what it should have done. */
interface Program {
  readonly name: string;
  readonly run: () => Promise<CommandResult>;
  readonly check: (t: Test, result: CommandResult) => void | Promise<void>;
}

function plainPrograms({ operator, scratch }: Daily, host: string): readonly Program[] {
  const { path } = folderIn(scratch, `files-${host}`);
  mkdirSync(path('tree'));
  for (const name of ['a', 'b']) writeFileSync(path('tree', name), TEXT);
  const arrived =
    (...name: readonly string[]) =>
    (t: Test): void => {
      t.equal(readFileSync(path(...name), 'utf8'), TEXT);
    };
  const git = (...args: readonly string[]): Promise<CommandResult> =>
    operator.run(['git', '-c', 'user.name=o', '-c', 'user.email=o@example.com', ...args]);
  return [
    {
      name: 'ssh',
      run: () => operator.run(['ssh', host, 'echo $SSH_CONNECTION']),
      check: (t, { stdout }) => {
        t.match(stdout, /^(db-|10\.)/.test(host) ? / 10\.78\.0\.5 22\n$/ : / (10\.77\.0\.|fd77::)2 22\n$/);
      },
    },
    {
      name: 'ssh as VS Code runs it',
      run: () =>
        operator.run(
          ['ssh', '-T', '-D', '5080', '-o', 'ConnectTimeout=15', host, 'bash'],
          'echo code-$((40 + 2))\n',
        ),
      check: (t, { stdout }) => {
        t.equal(stdout, 'code-42\n');
      },
    },
    {
      name: 'scp',
      run: () => operator.run(['scp', '-q', path('tree', 'a'), `${host}:${path('scp')}`]),
      check: arrived('scp'),
    },
    {
      name: 'scp -O',
      run: () => operator.run(['scp', '-q', '-O', `${host}:${path('tree', 'a')}`, path('scp-O')]),
      check: arrived('scp-O'),
    },
    {
      name: 'sftp',
      run: () => operator.run(['sftp', '-b', '-', host], `put ${path('tree', 'a')} ${path('sftp')}\n`),
      check: arrived('sftp'),
    },
    {
      name: 'rsync',
      run: () => operator.run(['rsync', '-a', `${path('tree')}/`, `${host}:${path('rsync')}/`]),
      check: arrived('rsync', 'b'),
    },
    {
      name: 'git clone',
      run: async () => {
        await operator.must(['git', 'init', '-q', '--bare', path('repository.git')]);
        return git('clone', '-q', `${host}:${path('repository.git')}`, path('clone'));
      },
      check: () => {},
    },
    {
      name: 'git push',
      run: async () => {
        await git('-C', path('clone'), 'commit', '-q', '--allow-empty', '-m', 'first');
        return git('-C', path('clone'), 'push', '-q', 'origin', 'HEAD');
      },
      check: async (t) => {
        const log = await operator.must(['git', '-C', path('repository.git'), 'log', '--all', '--format=%s']);
        t.equal(log, 'first\n');
      },
    },
    {
      name: 'ansible',
      // It wants UTF-8.
      run: () => operator.run(['env', 'LC_ALL=C.UTF-8', 'ansible', 'all', '-i', `${host},`, '-m', 'ping']),
      check: (t, { stdout }) => {
        t.match(stdout, `${host} | SUCCESS`);
        t.match(stdout, '"ping": "pong"');
      },
    },
  ];
}
