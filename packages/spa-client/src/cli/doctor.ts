import { ExitCode, formatOptions, type Option, parseCommandLine, UsageError } from 'spa-host';
import { type Diagnosis, examineRegion } from '../doctor/doctor.ts';
import type { Finding } from '../doctor/finding.ts';
import { systemNtpServers } from '../doctor/ntp-servers.ts';
import { type Colour, paintFor } from './colour.ts';
import { parseWait } from './enter.ts';
import { currentUsername, defaultRcFile, print, printable } from './program.ts';
import { startProgress } from './progress.ts';
import { secretSource } from './secret-source.ts';

/**
 * `sshbh doctor`: looks at all that a region's door depends on, and says what to do.
 * @throws UsageError
 */
export async function doctorVerb(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommandLine(OPTIONS, argv);
  if (values.help) return print(help());
  const [name, ...others] = positionals;
  if (name === undefined || others.length > 0) throw new UsageError('which region? sshbh doctor REGION');
  if (values.ipv4 && values.ipv6) throw new UsageError('-4 and -6 contradict each other; give one');
  const diagnoses = examineRegion(values['rc-file'] ?? defaultRcFile(), name, {
    family: values.ipv4 ? 4 : values.ipv6 ? 6 : null,
    ssh: 'ssh',
    secrets: secretSource(null),
    username: currentUsername(),
    nowMs: Date.now,
    clock: { servers: systemNtpServers(), port: NTP_PORT, limitMs: CLOCK_LIMIT_MS },
    waitMs: values['no-packet'] ? null : parseWait(values.wait),
  });
  const all = await collect(name, diagnoses, values.json ? () => {} : lineWriter(name));
  if (values.json) print(`${JSON.stringify(report(name, all), null, 2)}\n`);
  return exitCode(all);
}

/** Options of `sshbh doctor`. */
export function doctorOptions(): readonly Option[] {
  return OPTIONS;
}

// biome-ignore format: a table, one option a row
const OPTIONS = [
  { long: 'no-packet', help: 'look only: send no packet' },
  { long: 'ipv4', short: '4', help: "only the bastion's IPv4 addresses" },
  { long: 'ipv6', short: '6', help: "only the bastion's IPv6 addresses" },
  { long: 'wait', argument: 'SECONDS', help: 'how long to wait for the door (10)' },
  { long: 'json', help: 'all findings, as JSON' },
  { long: 'rc-file', argument: 'FILE', help: 'the file with the regions (~/.fwknoprc)' },
  { long: 'help', short: 'h', help: 'print this and exit' },
] as const satisfies readonly Option[];

const NTP_PORT = 123;
const CLOCK_LIMIT_MS = 800;

/** All findings; each goes to `write` as soon as it is there. */
async function collect(
  region: string,
  diagnoses: AsyncIterable<Diagnosis>,
  write: (diagnosis: Diagnosis) => void,
): Promise<readonly Diagnosis[]> {
  const all: Diagnosis[] = [];
  let progress = startProgress();
  try {
    for await (const diagnosis of diagnoses) {
      progress.stop();
      all.push(diagnosis);
      write(diagnosis);
      progress = startProgress();
      progress.update(`sshbh: looking at ${region}`);
    }
  } finally {
    progress.stop();
  }
  return all;
}

const STATES: Readonly<Record<Finding['state'], { readonly label: string; readonly colour: Colour }>> = {
  ok: { label: 'ok', colour: 'green' },
  warn: { label: 'warn', colour: 'yellow' },
  bad: { label: 'BAD', colour: 'red' },
  skipped: { label: 'skip', colour: 'dim' },
};
const STATE_WIDTH = 4;
const CHECK_WIDTH = 13;

/** One line a finding; other bastions of the region have a headline each. */
function lineWriter(region: string): (diagnosis: Diagnosis) => void {
  const paint = paintFor(1);
  let bastion: string | null = null;
  return (diagnosis) => {
    const { state, check, says, todo } = diagnosis;
    const isNext = diagnosis.bastion !== null && diagnosis.bastion !== bastion;
    if (isNext && bastion !== null) print(`\n${paint('bold', `${diagnosis.bastion}, if ${region} fails`)}\n`);
    bastion = diagnosis.bastion;
    const { label, colour } = STATES[state];
    const text = printable(todo === null ? says : `${says}: ${todo}`);
    const start = `${paint(colour, label.padEnd(STATE_WIDTH))}  ${check.padEnd(CHECK_WIDTH)}  `;
    print(`${start}${state === 'skipped' ? paint('dim', text) : text}\n`);
  };
}

function report(region: string, all: readonly Diagnosis[]): object {
  const worst = (['bad', 'warn'] as const).find((state) => all.some((one) => one.state === state)) ?? 'ok';
  return { region, result: worst, findings: all };
}

function exitCode(all: readonly Diagnosis[]): number {
  if (!all.some(({ state }) => state === 'bad')) return ExitCode.ok;
  return all.some(({ bastion }) => bastion !== null) ? ExitCode.failure : ExitCode.config;
}

function help(): string {
  return `sshbh doctor: why a region's door does not open

Usage: sshbh doctor [options] REGION

${formatOptions(OPTIONS)}

Each line is ok, warn (it works, but), BAD (it cannot work) or skip (nobody knows), and says what to do. It looks at the rc
file and the keys, the name and the way to each bastion of the region, the clock (the bastion and the time servers of this
system are asked), the size of a packet; then it sends one and waits for the door.

  sshbh doctor us-east-1
  sshbh doctor --no-packet us-east-1
  sshbh doctor --json us-east-1 | jq -r '.findings[] | select(.state == "bad") | .todo'

With --json: {"region", "result", "findings": [{"bastion", "check", "state", "says", "todo"}]}; the result is ok, warn or bad.

Exit status: 0 nothing is bad, 1 something is, 64 the command line is wrong, 78 the rc file cannot be used or has no such
region.
`;
}
