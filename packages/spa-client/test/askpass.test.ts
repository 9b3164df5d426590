import t from 'tap';
import { askpassOf } from '../src/cli/askpass.ts';

t.test('a program asks by ssh’s rules', (t) => {
  const program = '/usr/bin/askpass';
  const first = { program, beforeTerminal: true };
  const last = { program, beforeTerminal: false };
  const cases: readonly (readonly [NodeJS.ProcessEnv, ReturnType<typeof askpassOf>])[] = [
    [{}, null],
    [{ DISPLAY: ':0' }, null],
    [{ SSH_ASKPASS: program }, null],
    [{ SSH_ASKPASS: program, DISPLAY: '' }, null],
    [{ SSH_ASKPASS: program, DISPLAY: ':0' }, last],
    [{ SSH_ASKPASS: program, WAYLAND_DISPLAY: 'wayland-0' }, last],
    [{ SSH_ASKPASS: program, DISPLAY: ':0', SSH_ASKPASS_REQUIRE: 'never' }, null],
    [{ SSH_ASKPASS: program, DISPLAY: ':0', SSH_ASKPASS_REQUIRE: 'prefer' }, first],
    [{ SSH_ASKPASS: program, SSH_ASKPASS_REQUIRE: 'prefer' }, null],
    [{ SSH_ASKPASS: program, SSH_ASKPASS_REQUIRE: 'force' }, first],
    [{ SSH_ASKPASS: '', SSH_ASKPASS_REQUIRE: 'force' }, null],
  ];
  for (const [env, expected] of cases) t.same(askpassOf(env), expected, JSON.stringify(env));
  t.end();
});
