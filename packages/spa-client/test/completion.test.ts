import { spawnSync } from 'node:child_process';
import { appendFileSync, chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createScratch, lackingPrograms, openTerminal, type Scratch, type Terminal } from 'spa-lab';
import t, { type Test } from 'tap';

const SSHBH = fileURLToPath(new URL('../src/bin/sshbh.cjs', import.meta.url));
const RC = `[default]
KEY a-key
[us-east-1]
SPA_SERVER 203.0.113.1
[eu-west-1]
SPA_SERVER 203.0.113.2
[eu-west-2]
SPA_SERVER 203.0.113.3
`;
/** Each of these would leave a file behind if a shell evaluated it. */
const HOSTILE = ['x$(>pwned)', 'y`>pwned`', "z';>pwned;'", 'w;>pwned', 'v|>pwned'];

/** Every TAB starts Node once or twice, on a machine that may be busy. */
t.setTimeout(180_000);

interface Shell {
  readonly program: string;
  /** Writes its start-up file, that reads the script as a user would; gives what to run. */
  readonly prepare: (scratch: Scratch) => readonly string[];
}

const SHELLS: readonly Shell[] = [
  {
    program: 'bash',
    prepare: (scratch) => {
      writeFileSync(scratch.path('bashrc'), `PS1='$ '\neval "$(sshbh completion bash)"\n`);
      return ['bash', '--noprofile', '--rcfile', scratch.path('bashrc'), '-i'];
    },
  },
  {
    program: 'zsh',
    prepare: (scratch) => {
      const start = `PS1='$ '\nautoload -Uz compinit && compinit -u -d ~/dump\neval "$(sshbh completion zsh)"\n`;
      writeFileSync(scratch.path('.zshrc'), start);
      return ['zsh', '-d', '-i'];
    },
  },
  {
    program: 'fish',
    prepare: (scratch) => {
      mkdirSync(scratch.path('.config', 'fish', 'completions'), { recursive: true });
      // Without it fish would start a program that reads all man pages.
      mkdirSync(scratch.path('.data', 'fish', 'generated_completions'), { recursive: true });
      const start = `set -g fish_greeting\nset -g fish_autosuggestion_enabled 0\nfunction fish_prompt\n  echo '$ '\nend\n`;
      writeFileSync(scratch.path('.config', 'fish', 'config.fish'), start);
      const { stdout } = spawnSync(process.execPath, [SSHBH, 'completion', 'fish']);
      writeFileSync(scratch.path('.config', 'fish', 'completions', 'sshbh.fish'), stdout);
      return ['fish', '-i'];
    },
  },
];

/** A shell on a terminal, at home in a folder of its own, with sshbh on its PATH. */
async function startShell(
  t: Test,
  shell: Shell,
): Promise<{ readonly scratch: Scratch; readonly terminal: Terminal }> {
  const scratch = createScratch();
  t.teardown(scratch.remove);
  mkdirSync(scratch.path('bin'));
  const program = scratch.path('bin', 'sshbh');
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${SSHBH}' "$@"\n`);
  chmodSync(program, 0o755);
  writeFileSync(scratch.path('.fwknoprc'), RC, { mode: 0o600 });
  mkdirSync(scratch.path('.ssh'));
  writeFileSync(scratch.path('.ssh', 'config'), 'Host db-3 *.internal\n  User alice\n');
  const home = scratch.path();
  const terminal = await openTerminal(t, ['sh', '-c', 'cd && exec "$@"', 'sh', ...shell.prepare(scratch)], {
    env: {
      HOME: home,
      ZDOTDIR: home,
      XDG_CONFIG_HOME: scratch.path('.config'),
      XDG_DATA_HOME: scratch.path('.data'),
      XDG_STATE_HOME: scratch.path('.state'),
      PATH: `${scratch.path('bin')}:${process.env.PATH}`,
    },
  });
  await terminal.shows(/^\$$/m);
  return { scratch, terminal };
}

/** Types that, presses TAB, waits until the terminal shows the other, and takes the line back. */
async function completes(t: Test, terminal: Terminal, typed: string, expected: RegExp): Promise<void> {
  terminal.type(typed);
  terminal.press('Tab');
  await terminal.shows(expected);
  t.pass(`${typed} and TAB`);
  terminal.press('C-u', 'C-l');
  await terminal.shows(/^\$$/);
}

for (const shell of SHELLS) {
  const skip = lackingPrograms('tmux', 'setpriv', shell.program);

  t.test(`${shell.program} completes regions, verbs and options`, { skip }, async (t) => {
    const { scratch, terminal } = await startShell(t, shell);
    await completes(t, terminal, 'sshbh us-', /^\$ sshbh us-east-1$/);
    await completes(t, terminal, 'sshbh alice@us-', /^\$ sshbh alice@us-east-1$/);
    await completes(t, terminal, 'sshbh -v -o User=alice us', /^\$ sshbh -v -o User=alice us-east-1$/);
    await completes(t, terminal, 'sshbh comp', /^\$ sshbh completion$/);
    await completes(t, terminal, 'sshbh completion fi', /^\$ sshbh completion fish$/);
    await completes(t, terminal, 'sshbh open us-', /^\$ sshbh open us-east-1$/);
    await completes(t, terminal, 'sshbh --rc-f', /^\$ sshbh --rc-file$/);
    await completes(t, terminal, 'sshbh list --na', /^\$ sshbh list --names$/);
    await completes(t, terminal, 'sshbh us-east-1 db', /^\$ sshbh us-east-1 db-3$/);
    writeFileSync(scratch.path('other-rc'), '[lab]\nSPA_SERVER 203.0.113.9\n', { mode: 0o600 });
    await completes(
      t,
      terminal,
      'sshbh --rc-file ~/other-rc l',
      /^\$ sshbh --rc-file ~\/other-rc l(ab|ist)?/,
    );
    await completes(
      t,
      terminal,
      'sshbh open --rc-file ~/other-rc l',
      /^\$ sshbh open --rc-file ~\/other-rc lab$/,
    );
  });

  t.test(`${shell.program} shows the regions of the moment where several fit`, { skip }, async (t) => {
    const { scratch, terminal } = await startShell(t, shell);
    terminal.type('sshbh eu');
    terminal.press('Tab');
    await terminal.shows(/^\$ sshbh eu-west-/);
    terminal.press('Tab', 'Tab');
    await terminal.shows(/eu-west-1.*eu-west-2/s);
    terminal.press('C-u', 'C-l');
    await terminal.shows(/^\$$/);
    appendFileSync(scratch.path('.fwknoprc'), '[ap-south-1]\nSPA_SERVER 203.0.113.4\n');
    await completes(t, terminal, 'sshbh ap', /^\$ sshbh ap-south-1$/);
  });

  t.test(`${shell.program} never runs what the rc file says`, { skip }, async (t) => {
    const { scratch, terminal } = await startShell(t, shell);
    for (const name of HOSTILE) {
      appendFileSync(scratch.path('.fwknoprc'), `[${name}]\nSPA_SERVER 203.0.113.4\nACCESS wrong\n`);
    }
    terminal.type('sshbh ');
    terminal.press('Tab', 'Tab');
    await terminal.shows(/x.*pwned/);
    terminal.press('C-u', 'C-l');
    await terminal.shows(/^\$$/);
    for (const name of HOSTILE) {
      terminal.type(`sshbh ${name[0]}`);
      terminal.press('Tab');
      await terminal.shows(/^\$ sshbh .*pwned/);
      terminal.press('Enter');
      await terminal.shows(/ACCESS/);
      terminal.press('C-l');
      await terminal.shows(/^\$$/);
    }
    t.notOk(existsSync(scratch.path('pwned')));
  });
}

t.test('the scripts know every option that takes a value', (t) => {
  const helpOf = (...argv: readonly string[]): string =>
    spawnSync(process.execPath, [SSHBH, ...argv, '--help'], { encoding: 'utf8' }).stdout;
  const script = spawnSync(process.execPath, [SSHBH, 'completion', 'bash'], { encoding: 'utf8' }).stdout;
  const verbs = /^ +case \$word in (\S+)\) verb=/m.exec(script)?.[1]?.split('|') ?? [];
  t.ok(verbs.includes('completion'));
  const helps = [helpOf(), ...verbs.map((verb) => helpOf(verb))].join('\n');
  const wanted = Array.from(
    helps.matchAll(/^ +(?:-., )?(--[a-z0-9-]+) [A-Z][A-Z0-9_:,[\]]*(?: |$)/gm),
    ([, option]) => option ?? '',
  );
  const known = /^ +(--\S+)\) value_of=/m.exec(script)?.[1]?.split('|') ?? [];
  t.same(
    wanted.filter((option) => !known.includes(option)),
    [],
  );
  t.end();
});

t.test('without the name of a shell nothing is printed', (t) => {
  const run = (...argv: readonly string[]) =>
    spawnSync(process.execPath, [SSHBH, 'completion', ...argv], { encoding: 'utf8' });
  t.match(run(), { status: 64, stdout: '' });
  t.match(run('tcsh'), { status: 64, stdout: '', stderr: /bash, zsh or fish/ });
  t.match(run('--help'), { status: 0, stdout: /eval "\$\(sshbh completion bash\)"/ });
  t.end();
});
