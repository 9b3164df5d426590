import { execFileSync } from 'node:child_process';
import { lacking, openTerminal } from 'spa-lab';
import t from 'tap';
import { DAILY_PROGRAMS, dailyLab } from './daily.ts';

t.setTimeout(120_000);

t.test('at a terminal', { skip: lacking(...DAILY_PROGRAMS, 'tmux') }, async (t) => {
  const lab = await dailyLab(t);
  const { enter, environment } = lab.operator;
  const open = (...command: readonly string[]) =>
    openTerminal(t, [...enter, 'sh', '-c', '"$@"; echo status=$?; sleep 60', 'sh', ...command], {
      env: { ...environment, TERM: undefined },
    });

  for (const command of [
    ['sshbh', 'us-east-1'],
    ['sshbh', 'us-east-1', 'db-3'],
  ]) {
    await t.test(`${command.join(' ')} is a shell like any other`, async (t) => {
      const { type, press, shows, screen } = await open(...command);
      await shows(/[#$] ?$/);
      t.notMatch(screen(), 'sshbh', 'it says nothing of itself');
      type("PS1='there> '; stty size; echo $((40 + 2))");
      press('Enter');
      await shows(/^\d+ 100\n42\nthere>$/m);
      type('sleep 100');
      press('Enter');
      press('C-c');
      await shows(/\^C\nthere>$/);
      type('exit 7');
      press('Enter');
      await shows(/^status=7$/m);
      await lab.closeDoors();
    });
  }

  await t.test("ssh's own question comes through, and its answer", async (t) => {
    const key = lab.home.path('.ssh', 'id_ed25519');
    execFileSync('ssh-keygen', ['-q', '-p', '-P', '', '-N', 'sesame', '-f', key]);
    const { type, press, shows, screen } = await open('sshbh', 'us-east-1', '--', 'echo hello');
    await shows(/^Enter passphrase for key '.*':$/m);
    type('sesame');
    press('Enter');
    await shows(/^hello$/m);
    t.notMatch(screen(), 'sesame');
  });
});
