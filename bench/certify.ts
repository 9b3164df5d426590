import { execFile } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import {
  armorCertificates,
  type Bastion,
  certify,
  type Fingerprint,
  makeKey,
  type Operator,
  planRoster,
  type RawCertificate,
  type Roster,
  readCertifyingKey,
  readRawCertificates,
  withSignatures,
} from 'spa-core';
import { createScratch, PROGRAMS } from 'spa-lab';
import { type Finding, percentile, type Section, type Table } from './results.ts';
import type { Run } from './run.ts';
import { endedChildrenCpuMs } from './usage.ts';

/** What it costs that everybody certifies everybody, and to see that all is there, beside gpg. */
export async function measureCertify(run: Run): Promise<Omit<Section, 'title'>> {
  const outcomes: Outcome[] = [];
  for (const [operators, bastions] of sizesOf(run)) {
    run.progress(`${operators} × ${bastions}: making keys`);
    const fleet = await makeFleet(operators, bastions);
    run.progress(`${operators} × ${bastions}: spa-core`);
    const { certified, ms } = await certifyAll(fleet);
    const plans = await planTimes(certified);
    run.progress(`${operators} × ${bastions}: spa-keys`);
    const programs = await timePrograms(fleet, run);
    run.progress(`${operators} × ${bastions}: gpg`);
    const gpg = await timeGpg(fleet, certified, run);
    outcomes.push({ fleet, oursMs: ms, gpg, plans, programs });
  }
  return {
    tables: [tabulatePrograms(outcomes), tabulateCertifying(outcomes), tabulatePlans(outcomes)],
    findings: outcomes.flatMap(findingsOf),
    method: METHOD,
  };
}

const SMALL = [30, 20] as const;
const LARGE_OPERATORS = 300;
/** More of gpg's at the larger size would take an hour or two. */
const SAMPLE = 300;
const WANTED_TIMES = 10;
const WANTED_PLAN_MS = 2000;
const PLANS = 5;
/** The programs go by the clock. */
const NOW = Math.floor(Date.now() / 1000);
const HOUR = 3600;

const METHOD = `\
Each operator certifies each bastion and each bastion each operator, with Ed25519 keys without passphrase. *spa-keys sign*, *plan*: the
whole program, from its start to its end, with the roster and the secret keys in files: *sign* makes all certifications, *plan, warm* comes
after it (median of ${PLANS}), *plan, cold* verifies all of them, as in a new clone. *CPU*: user and system time of the processes; of gpg's
without gpg-agent's, which makes the signatures. gpg's loop for all is what one takes, times all. *spa-core*: from the text of
secret keys and certificates to armored certificates with all certifications, in one process. *gpg*: \`gpg --quick-sign-key\` in a loop, one
process for each certification, in one home that holds all keys, without a look at the trust database; of more than 1,200 certifications a
sample of ${SAMPLE}, with the certificates as they are before the first one, which is the best case for gpg. *good*: what \`gpg --check-sigs\` says of
spa-core's certifications, of the first 1,200. *plan*: \`planRoster\` for certificates that are read already; *cold* verifies each certification, *warm* remembers that it
did (median of ${PLANS}, each with certificates read anew: *read*).`;

interface Member {
  readonly name: string;
  readonly userId: string;
  readonly fingerprint: Fingerprint;
  readonly certificate: string;
  readonly secretKey: string;
}

interface Fleet {
  readonly operators: readonly Member[];
  readonly bastions: readonly Member[];
}

interface Outcome {
  readonly fleet: Fleet;
  readonly oursMs: number;
  readonly gpg: GpgTimes;
  readonly plans: PlanTimes;
  readonly programs: ProgramTimes;
}

/** What a program takes until it has ended. */
interface Cost {
  readonly wallMs: number;
  readonly cpuMs: number;
}

interface ProgramTimes {
  readonly sign: Cost;
  readonly warm: Cost;
  readonly cold: Cost;
}

interface GpgTimes {
  readonly made: number;
  readonly ms: number;
  readonly cpuMs: number;
  /** Certifications of ours that gpg was shown, and that it finds good. */
  readonly shown: number;
  readonly good: number;
}

interface PlanTimes {
  readonly readMs: number;
  readonly coldMs: number;
  readonly warmMs: number;
}

/** A quick look is one at a tenth of the larger size, which is the smaller one. */
function sizesOf(run: Run): readonly (readonly [operators: number, bastions: number])[] {
  const operators = run.rounds(LARGE_OPERATORS);
  const large = [operators, Math.ceil((operators * 2) / 3)] as const;
  return operators <= SMALL[0] ? [large] : [SMALL, large];
}

async function makeFleet(operators: number, bastions: number): Promise<Fleet> {
  return {
    operators: await makeMembers('operator', operators),
    bastions: await makeMembers('bastion', bastions),
  };
}

async function makeMembers(kind: string, count: number): Promise<readonly Member[]> {
  const members: Member[] = [];
  for (let number = 0; number < count; number += 1) {
    const name = `${kind}${number}`;
    const userId = `${name} <${name}@example.org>`;
    const made = await makeKey({
      userId,
      expiresAtSeconds: null,
      nowSeconds: NOW - HOUR,
      passphrase: null,
      algorithm: 'ecc',
    });
    const { certificate, secretKey } = made;
    members.push({
      name,
      userId,
      fingerprint: certificate.fingerprint,
      certificate: armorCertificates([certificate]),
      secretKey,
    });
  }
  return members;
}

async function certifyAll(
  fleet: Fleet,
): Promise<{ readonly certified: ReadonlyMap<Member, string>; readonly ms: number }> {
  const { operators, bastions } = fleet;
  const begun = performance.now();
  const certified = new Map<Member, string>();
  for (const [subjects, makers] of [
    [operators, bastions],
    [bastions, operators],
  ] as const) {
    const keys = makers.map(
      ({ secretKey, fingerprint }) => readCertifyingKey(Buffer.from(secretKey), fingerprint) ?? missing(),
    );
    for (const subject of subjects) {
      const raw = one(subject.certificate);
      const signatures = await Promise.all(keys.map((key) => certify(key, raw, subject.userId, TERMS)));
      const added = signatures.map((signature) => ({ userId: subject.userId, signature }));
      certified.set(subject, armorCertificates([withSignatures(raw, added)]));
    }
  }
  return { certified, ms: performance.now() - begun };
}

const TERMS = { madeAtSeconds: NOW, expiresAtSeconds: null, isExportable: true } as const;

async function planTimes(certified: ReadonlyMap<Member, string>): Promise<PlanTimes> {
  const roster = rosterOf([...certified.keys()]);
  const verified = new Set<string>();
  const plan = async (): Promise<{ readonly readMs: number; readonly planMs: number }> => {
    const begun = performance.now();
    const raws = [...certified.values()].map(one);
    const read = performance.now();
    const certificates = new Map(raws.map((raw) => [raw.fingerprint, raw]));
    const { certifications } = await planRoster(roster, certificates, { nowSeconds: NOW + HOUR, verified });
    const planMs = performance.now() - read;
    const isWhole = certifications.every(({ state }) => state === 'ok') && certifications.length > 0;
    if (!isWhole) throw new Error('a certification that was made is not found');
    return { readMs: read - begun, planMs };
  };
  const cold = await plan();
  const warm: Awaited<ReturnType<typeof plan>>[] = [];
  for (let round = 0; round < PLANS; round += 1) warm.push(await plan());
  const median = (values: readonly number[]): number => percentile(values, 0.5);
  return {
    readMs: median(warm.map(({ readMs }) => readMs)),
    coldMs: cold.planMs,
    warmMs: median(warm.map(({ planMs }) => planMs)),
  };
}

function rosterOf(members: readonly Member[]): Roster {
  const keyOf = ({ name, fingerprint }: Member) => ({ fingerprint, certificateFile: `${name}.asc` });
  const isOperator = ({ name }: Member): boolean => name.startsWith('operator');
  return {
    name: 'bench',
    version: 1,
    topology: 'mutual',
    certifications: { isExportable: true, days: null, renewDays: 30 },
    authority: null,
    operators: members.filter(isOperator).map(
      (member): Operator => ({
        kind: 'operator',
        name: member.name,
        fullName: null,
        email: null,
        key: keyOf(member),
        retiring: null,
        roles: [],
        regions: null,
        notAfterSeconds: null,
        revoked: null,
      }),
    ),
    bastions: members
      .filter((member) => !isOperator(member))
      .map(
        (member): Bastion => ({
          kind: 'bastion',
          name: member.name,
          region: 'somewhere',
          host: `${member.name}.example.org`,
          sshPort: 22,
          spaPort: 62_201,
          key: keyOf(member),
          retiring: null,
          hmac: { kind: 'file', file: member.name },
          capabilities: [],
        }),
      ),
    groups: new Map(),
    access: [
      {
        who: ['everybody'],
        where: ['everywhere'],
        ports: [{ protocol: 'tcp', port: 22 }],
        timeoutSeconds: 30,
      },
    ],
  };
}

async function timePrograms(fleet: Fleet, { onEnd }: Run): Promise<ProgramTimes> {
  const scratch = createScratch();
  onEnd(() => scratch.remove());
  const [folder, secrets] = [scratch.path('roster'), scratch.path('secrets')];
  writeFolder(fleet, folder, secrets);
  const program = async (verb: string): Promise<Cost> => {
    const begun = performance.now();
    const cpuBefore = endedChildrenCpuMs();
    await run(process.execPath, [PROGRAMS.spaKeys, verb, '--roster', folder, '--secrets', secrets], {
      // A certificate authority of this host's own would be read at each start.
      env: { ...process.env, NODE_EXTRA_CA_CERTS: undefined },
    });
    return { wallMs: performance.now() - begun, cpuMs: endedChildrenCpuMs() - cpuBefore };
  };
  const sign = await program('sign');
  const warm: Cost[] = [];
  for (let round = 0; round < PLANS; round += 1) warm.push(await program('plan'));
  rmSync(`${secrets}/cache`, { recursive: true });
  const cold = await program('plan');
  scratch.remove();
  return {
    sign,
    warm: {
      wallMs: percentile(
        warm.map(({ wallMs }) => wallMs),
        0.5,
      ),
      cpuMs: percentile(
        warm.map(({ cpuMs }) => cpuMs),
        0.5,
      ),
    },
    cold,
  };
}

/** A roster that gives everybody every door, the certificates with nobody's certification, and all secret keys. */
function writeFolder({ operators, bastions }: Fleet, folder: string, secrets: string): void {
  for (const path of [
    `${folder}/certificates/operators`,
    `${folder}/certificates/bastions`,
    `${secrets}/keys`,
  ]) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  }
  const lines = ['name: bench', 'version: 1', 'topology: mutual'];
  for (const [kind, members, more] of [
    ['operators', operators, ({ name }: Member) => [`email: ${name}@example.org`]],
    ['bastions', bastions, ({ name }: Member) => ['region: somewhere', `host: ${name}.example.org`]],
  ] as const) {
    lines.push(`${kind}:`);
    for (const member of members) {
      const settings = [`fingerprint: ${member.fingerprint}`, ...more(member)];
      lines.push(`  ${member.name}:`, ...settings.map((setting) => `    ${setting}`));
      writeFileSync(`${folder}/certificates/${kind}/${member.name}.asc`, member.certificate);
      writeFileSync(`${secrets}/keys/${member.fingerprint}.asc`, member.secretKey, { mode: 0o600 });
    }
  }
  lines.push('access:', '  - who: [everybody]', '    where: [everywhere]', '');
  writeFileSync(`${folder}/roster.yaml`, lines.join('\n'));
}

async function timeGpg(fleet: Fleet, certified: ReadonlyMap<Member, string>, run: Run): Promise<GpgTimes> {
  const { operators, bastions } = fleet;
  const pairs = operators.flatMap((operator) =>
    bastions.flatMap((bastion) => [[operator, bastion] as const, [bastion, operator] as const]),
  );
  const total = pairs.length;
  const isSample = total > 2 * SMALL[0] * SMALL[1];
  // Evenly from all, so that no key is used more often than others.
  const chosen = isSample
    ? pairs.filter((_, index) => index % Math.floor(total / SAMPLE) === 0).slice(0, SAMPLE)
    : pairs;
  const members = [...operators, ...bastions];
  const loop = await createHome(run, members.map(({ secretKey }) => secretKey).join('\n'));
  const begun = performance.now();
  const cpuBefore = endedChildrenCpuMs();
  for (const [maker, subject] of chosen) {
    await loop(['--local-user', maker.fingerprint, '--quick-sign-key', subject.fingerprint]);
  }
  const ms = performance.now() - begun;
  const cpuMs = endedChildrenCpuMs() - cpuBefore;

  const subjects = isSample
    ? members.slice(0, Math.ceil((2 * SMALL[0] * SMALL[1]) / bastions.length))
    : members;
  const shownText = (member: Member): string =>
    subjects.includes(member) ? (certified.get(member) ?? missing()) : member.certificate;
  const check = await createHome(run, members.map(shownText).join('\n'));
  const listed = await check([
    '--with-colons',
    '--check-sigs',
    ...subjects.map(({ fingerprint }) => fingerprint),
  ]);
  const own = new Map(members.map(({ fingerprint }) => [fingerprint.slice(-16), fingerprint]));
  let shown = 0;
  let good = 0;
  let subject = '';
  for (const line of listed.split('\n')) {
    const [kind, verdict, , , keyId = ''] = line.split(':');
    if (kind === 'pub') subject = keyId;
    if (kind !== 'sig' || keyId === subject || !own.has(keyId)) continue;
    shown += 1;
    if (verdict === '!') good += 1;
  }
  return { made: chosen.length, ms, cpuMs, shown, good };
}

const run = promisify(execFile);

type Gpg = (args: readonly string[]) => Promise<string>;

async function createHome({ onEnd }: Run, keys: string): Promise<Gpg> {
  const scratch = createScratch();
  const home = scratch.path('gnupg');
  onEnd(async () => {
    await run('gpgconf', ['--homedir', home, '--kill', 'all']).catch(() => {});
    scratch.remove();
  });
  mkdirSync(home, { mode: 0o700 });
  writeFileSync(scratch.path('keys.asc'), keys, { mode: 0o600 });
  const gpg: Gpg = async (args) => {
    const options = ['--homedir', home, '--batch', '--yes', '--quiet', '--no-tty', '--no-auto-check-trustdb'];
    const trust = ['--trust-model', 'always', '--passphrase', '', '--pinentry-mode', 'loopback'];
    const { stdout } = await run('gpg', [...options, ...trust, ...args], { maxBuffer: 1e9 });
    return stdout;
  };
  await gpg(['--import', scratch.path('keys.asc')]);
  return gpg;
}

function tabulatePrograms(outcomes: readonly Outcome[]): Table {
  const heading = ['operators × bastions', 'program', 's', 'CPU s', 'sign ×', 'CPU ×'];
  const seconds = (ms: number): string => (ms / 1000).toFixed(2);
  const lines = outcomes.flatMap(({ fleet, programs: { sign, warm, cold }, gpg }) => {
    const loop = loopOf(fleet, gpg);
    const row = (name: string, { wallMs, cpuMs }: Cost): readonly string[] => [
      ...[sizeOf(fleet), name, seconds(wallMs), seconds(cpuMs)],
      ...(name === SIGN ? [(loop.wallMs / wallMs).toFixed(0), (loop.cpuMs / cpuMs).toFixed(0)] : ['', '']),
    ];
    return [
      row("gpg's loop", loop),
      row(SIGN, sign),
      row('spa-keys plan, warm', warm),
      row('spa-keys plan, cold', cold),
    ];
  });
  return { heading, words: 2, lines };
}

const SIGN = 'spa-keys sign';

/** For all, from what it has made. */
function loopOf(fleet: Fleet, { made, ms, cpuMs }: GpgTimes): Cost {
  const share = countOf(fleet) / made;
  return { wallMs: ms * share, cpuMs: cpuMs * share };
}

function tabulateCertifying(outcomes: readonly Outcome[]): Table {
  const heading = [
    'operators × bastions',
    'certifications',
    'gpg ms each',
    'of',
    'spa-core ms each',
    's in all',
    '×',
    'good',
  ];
  const lines = outcomes.map(({ fleet, oursMs, gpg }) => {
    const count = countOf(fleet);
    return [
      sizeOf(fleet),
      String(count),
      (gpg.ms / gpg.made).toFixed(1),
      String(gpg.made),
      (oursMs / count).toFixed(3),
      (oursMs / 1000).toFixed(2),
      timesOf(fleet, oursMs, gpg).toFixed(0),
      `${gpg.good} of ${gpg.shown}`,
    ];
  });
  return { heading, words: 1, lines };
}

function tabulatePlans(outcomes: readonly Outcome[]): Table {
  const heading = ['operators × bastions', 'read ms', 'plan, cold ms', 'µs each', 'plan, warm ms', 'µs each'];
  const lines = outcomes.map(({ fleet, plans: { readMs, coldMs, warmMs } }) => {
    const each = (ms: number): string => ((1000 * ms) / countOf(fleet)).toFixed(1);
    return [
      sizeOf(fleet),
      readMs.toFixed(0),
      coldMs.toFixed(0),
      each(coldMs),
      warmMs.toFixed(0),
      each(warmMs),
    ];
  });
  return { heading, words: 1, lines };
}

function findingsOf({ fleet, gpg, programs: { sign, warm } }: Outcome): readonly Finding[] {
  const count = countOf(fleet);
  const loopMs = loopOf(fleet, gpg).wallMs;
  const times = loopMs / sign.wallMs;
  return [
    {
      measure: `spa-keys sign, ${count} mutual certifications, ${sizeOf(fleet)}; gpg's of ${gpg.made}`,
      peer: `${(loopMs / 1000).toFixed(1)} s`,
      ours: `${(sign.wallMs / 1000).toFixed(2)} s`,
      times: times.toFixed(0),
      wanted: `${WANTED_TIMES} ×`,
      isReached: times >= WANTED_TIMES && gpg.good === gpg.shown && gpg.shown > 0,
    },
    {
      measure: `spa-keys plan, ${sizeOf(fleet)}, warm`,
      peer: '',
      ours: `${(warm.wallMs / 1000).toFixed(2)} s`,
      times: '',
      wanted: `${WANTED_PLAN_MS / 1000} s`,
      isReached: warm.wallMs < WANTED_PLAN_MS,
    },
  ];
}

function timesOf(fleet: Fleet, oursMs: number, { ms, made }: GpgTimes): number {
  return ms / made / (oursMs / countOf(fleet));
}

function countOf({ operators, bastions }: Fleet): number {
  return 2 * operators.length * bastions.length;
}

function sizeOf({ operators, bastions }: Fleet): string {
  return `${operators.length} × ${bastions.length}`;
}

function one(text: string): RawCertificate {
  return readRawCertificates(Buffer.from(text))[0] ?? missing();
}

function missing(): never {
  throw new TypeError('there is no key');
}
