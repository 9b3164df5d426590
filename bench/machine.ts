import { spawnSync } from 'node:child_process';
import { cpus, release } from 'node:os';

/** What the figures depend on, one line each, as Markdown. */
export function describeMachine(): readonly string[] {
  const processors = cpus();
  const model = processors[0]?.model ?? 'unknown processor';
  return [
    `${model.trim()}, ${processors.length} cores; Linux ${release()}; Node ${process.version}`,
    VERSIONS.map(version).join('; '),
  ];
}

const VERSIONS = [
  ...[
    ['fwknopd', '--version'],
    ['fwknop', '--version'],
    ['ssh', '-V'],
    ['gpg', '--version'],
  ],
  ...[
    ['nft', '--version'],
    ['iptables', '--version'],
  ],
] as const;

/** The first line of what a program says about itself. */
function version([program, option]: (typeof VERSIONS)[number]): string {
  const { stdout, stderr } = spawnSync(program, [option], { encoding: 'utf8' });
  return `${stdout ?? ''}${stderr ?? ''}`.split('\n')[0]?.trim() || `${program} of unknown version`;
}
