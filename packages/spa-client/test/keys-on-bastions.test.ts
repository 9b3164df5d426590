import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lackingPrograms } from 'spa-lab';
import t, { type Test } from 'tap';
import {
  type FleetParty,
  gnupgHome,
  goodCertifications,
  gpg,
  importRoster,
  type KeysFleet,
  makeFleet,
  makeParty,
  scratchFolder,
} from './keys-fleet.ts';

t.setTimeout(120_000);

const skip = lackingPrograms('gpg', 'gpgconf', 'flock');

t.test(
  'bastions certify where their keys are, and false answers are refused one by one',
  { skip },
  async (t) => {
    const { fleet, ssh, folder, play } = await setUp(t, 6);
    const [honest, other, greedy, , , generous] = fleet.bastions as readonly [
      FleetParty,
      FleetParty,
      FleetParty,
      FleetParty,
      FleetParty,
      FleetParty,
    ];
    const mallory = await makeParty('mallory');
    hold(t, honest, folder);
    play(other, certifiedBy(t, mallory, fleet.operators, '0'));
    play(greedy, certifiedBy(t, greedy, fleet.operators, '0'));
    // All that was asked for, and somebody else besides.
    play(generous, certifiedBy(t, generous, [...fleet.operators, mallory], '100d'));

    const before = await fleet.run('sign');
    t.match(before, { code: 1, stderr: /made 12 certifications\nb1: 2 .*spa-keys sign --on-bastions/ });
    const result = await fleet.run('sign', '--on-bastions', '--ssh', ssh, '--folder', folder);
    t.equal(result.code, 1);
    for (const line of [
      /^b1: made 2 certifications$/m,
      /^b2: made 0 certifications\n {2}not of op1: it sent no certification\n {2}not of op2: /m,
      /^b3: made 0 certifications\n {2}not of op1: the certification that it sent lasts longer than it may$/m,
      /^b4: failed: it says more than 8 MB/m,
      /^b5: cannot be reached: no route to host$/m,
      /^b6: made 2 certifications$/m,
      /^made 4 certifications$/m,
      /^b5: 2 certifications must be made with /m,
    ]) {
      t.match(result.stderr, line);
    }
    const home = importRoster(t, fleet);
    const makers = [honest, generous].map(({ fingerprint }) => fingerprint.slice(-16));
    for (const operator of fleet.operators) {
      const found = goodCertifications(home, operator.fingerprint);
      t.strictSame(found.toSorted(), makers.toSorted(), operator.name);
      const text = readFileSync(join(fleet.roster, 'certificates/operators', `${operator.name}.asc`), 'utf8');
      t.notOk(text.includes(mallory.fingerprint));
    }
    t.notMatch(
      gpg(home, ['--with-colons', '--list-keys']),
      mallory.fingerprint,
      'nobody else came with them',
    );

    play(other, certifiedBy(t, other, fleet.operators, '100d'));
    const again = await fleet.run('sign', '--on-bastions', '--ssh', ssh, '--folder', folder, '--json');
    const { bastions, certifications } = JSON.parse(again.stdout);
    t.equal(certifications, 2, 'what is there is not made again');
    t.notOk(
      bastions.some(({ name }: { readonly name: string }) => name === 'b1'),
      'nor asked for',
    );
  },
);

t.test('certifications that are not for others are local there, too', { skip }, async (t) => {
  const { fleet, ssh, folder } = await setUp(t, 1);
  const [bastion] = fleet.bastions as readonly [FleetParty];
  hold(t, bastion, folder);
  const file = join(fleet.roster, 'roster.yaml');
  writeFileSync(file, `${readFileSync(file, 'utf8')}certifications: { exportable: false }\n`);
  const result = await fleet.run('sign', '--on-bastions', '--ssh', ssh, '--folder', folder);
  t.match(result, { code: 0, stderr: /^b1: made 2 certifications$/m }, result.stderr);
  const listed = gpg(importRoster(t, fleet), ['--with-colons', '--check-sigs', 'op1']);
  t.match(listed, /^sig:!:.*:10l:.*:10:$/m);
});

t.test('the options of a way to bastions are for --on-bastions', { skip }, async (t) => {
  const fleet = await makeFleet(t, 'mutual', { operators: 1, bastions: 1 });
  t.match(await fleet.run('sign', '--ssh', 'ssh'), { code: 64, stderr: /--ssh goes with --on-bastions/ });
  t.match(await fleet.run('sign', '--on-bastions', '--import', 'x'), { code: 64 });
});

/** A fleet whose bastions' keys are not here, and a program with ssh's command line that plays the bastions. */
async function setUp(
  t: Test,
  bastions: number,
): Promise<{
  readonly fleet: KeysFleet;
  readonly ssh: string;
  /** The folder of the first bastion. */
  readonly folder: string;
  /** From now on that bastion answers with this text. */
  readonly play: (bastion: FleetParty, text: string) => void;
}> {
  const fleet = await makeFleet(t, 'mutual', { operators: 2, bastions });
  for (const { fingerprint } of fleet.bastions) rmSync(join(fleet.secrets, 'keys', `${fingerprint}.asc`));
  const scratch = scratchFolder(t);
  const ssh = join(scratch, 'ssh');
  const script = `#!/bin/sh
while test $# -gt 2; do shift; done
case $1 in
b1.*) exec sh -c "$2" ;;
b5.*) echo "no route to host" >&2; exit 255 ;;
esac
cat >/dev/null
echo "spa-keys installer 1"
case $1 in
b4.*) exec yes ;;
*) cat "${scratch}/$1" ;;
esac
`;
  writeFileSync(ssh, script, { mode: 0o755 });
  const play = ({ name }: FleetParty, text: string): void =>
    writeFileSync(join(scratch, `${name}.example.org`), text);
  return { fleet, ssh, folder: join(scratch, 'there'), play };
}

/** A bastion that has its key, and nobody else has. */
function hold(t: Test, { secretKey }: FleetParty, folder: string): void {
  const home = join(folder, 'secret');
  mkdirSync(home, { recursive: true, mode: 0o700 });
  t.teardown(() => spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']));
  gpg(home, ['--import'], secretKey);
}

/** What somebody sends who certifies `subjects` until then. */
function certifiedBy(
  t: Test,
  { secretKey, fingerprint }: FleetParty,
  subjects: readonly FleetParty[],
  until: string,
): string {
  const home = gnupgHome(t);
  gpg(home, ['--import'], secretKey);
  for (const subject of subjects.filter((one) => one.fingerprint !== fingerprint)) {
    gpg(home, ['--import'], subject.certificate);
    gpg(home, ['--yes', '--default-cert-expire', until, '--quick-sign-key', subject.fingerprint]);
  }
  return gpg(home, ['--armor', '--export']);
}
