import { readFileSync, writeFileSync } from 'node:fs';
import type { Test } from 'tap';
import { handOut, type Setting } from './keys-fleet.ts';

/** Where both bastions have a new key and a bundle with both, and alice and bob their old ones. */
export interface Rotation extends Pick<Setting, 'fleet' | 'alice' | 'bob' | 'ours' | 'keys' | 'program'> {
  readonly lab: Pick<Setting['lab'], 'folder' | 'homes'>;
}

/** Bob takes his new bundle; both get in until the overlap ends, and then only he does. */
export async function overlapHolds(t: Test, rotation: Rotation): Promise<void> {
  const { fleet, lab, alice, bob, ours, keys, program } = rotation;
  await t.test('during the overlap the old bundle opens both doors, and so does the new one', async (t) => {
    await handOut(keys, lab, { people: [bob], scratch: fleet.scratch });
    for (const person of [alice, bob]) {
      for (const name of BASTIONS) {
        const rc = readFileSync(person.home.path('.fwknoprc'), 'utf8');
        const [next = '', old = ''] = fingerprintsOf(lab.folder, name);
        t.ok(rc.includes(person === bob ? next : old), `${person.name} seals for his key of ${name}`);
        t.notOk(rc.includes(person === bob ? old : next));
        await mustBeIn(t, person, name);
      }
    }
  });

  await t.test('after the overlap only the new bundle does', async (t) => {
    const file = `${lab.folder}/roster.yaml`;
    const text = readFileSync(file, 'utf8');
    const version = Number(/^version: (\d+)/m.exec(text)?.[1]);
    writeFileSync(
      file,
      text
        .replace(/^version: .*/m, `version: ${version + 1}`)
        .replaceAll(/until: "?[^\s"]+Z"?/g, 'until: 2026-01-01'),
    );
    const signed = await keys('sign');
    t.equal(signed.status, 0, signed.stderr);
    const pushed = await keys('push', '--program', program);
    t.equal(pushed.status, 0, pushed.stderr);
    // The push went through it.
    await ours.host.must([program, '-c', '/etc/fwknop/fwknopd.conf', '--revoke', `address=${alice.address}`]);
    for (const name of BASTIONS) {
      const old = await alice.host.run(['sshbh', '--wait', '2', name, '--', 'true']);
      t.not(old.status, 0, `alice's old bundle is out at ${name}`);
      await mustBeIn(t, bob, name);
    }
  });
}

const BASTIONS = ['stock', 'ours'] as const;

/** By real ssh, through the door that his packet opens. */
export async function mustBeIn(t: Test, person: Setting['alice'], name: string): Promise<void> {
  const { status, stdout, stderr } = await person.host.run(['sshbh', name, '--', 'echo', 'in']);
  t.match({ status, stdout }, { status: 0, stdout: 'in\n' }, `${person.name} at ${name}: ${stderr}`);
}

/** Of a bastion: its key, and the one that retires. */
export function fingerprintsOf(folder: string, name: string): readonly string[] {
  const text = readFileSync(`${folder}/roster.yaml`, 'utf8');
  const entry = new RegExp(`^  ${name}:.*(?:\\n    .*)*`, 'm').exec(text)?.[0] ?? '';
  return Array.from(entry.matchAll(/fingerprint: "?([0-9A-F]{40})/g), ([, fingerprint = '']) => fingerprint);
}
