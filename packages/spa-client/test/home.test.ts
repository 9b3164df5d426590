import { execFileSync } from 'node:child_process';
import { homedir, userInfo } from 'node:os';
import t from 'tap';
import { homeDirectory, systemHome } from '../src/home.ts';

/** Runs `work` with that `HOME`. */
function withHome<Result>(home: string, work: () => Result): Result {
  const before = process.env.HOME;
  process.env.HOME = home;
  try {
    return work();
  } finally {
    if (before === undefined) delete process.env.HOME;
    else process.env.HOME = before;
  }
}

t.test('HOME says where the home is; an empty one says nothing', async (t) => {
  t.equal(homeDirectory(), homedir());
  t.equal(withHome('/home/of-alice', homeDirectory), '/home/of-alice');
  t.equal(withHome('', homeDirectory), userInfo().homedir);
});

t.test("ssh's home is the one that the system knows", async (t) => {
  t.equal(withHome('/home/of-alice', systemHome), userInfo().homedir);
});

t.test('a user whom the system does not know is told to set HOME', { skip: notRoot() }, async (t) => {
  const module = new URL('../src/home.js', import.meta.url).href;
  const script = `const { homeDirectory } = await import('${module}');
    process.setuid(54321);
    delete process.env.HOME;
    try { homeDirectory() } catch (error) { console.log(String(error)) }`;
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  t.equal(said, 'ConfigError: ~: the system knows no user 54321 and no home; set HOME, or name the files\n');
});

function notRoot(): false | string {
  return process.getuid?.() === 0 ? false : 'needs root';
}
