import { spawnSync } from 'node:child_process';
import { cpus, release } from 'node:os';

/** What the figures depend on, one line each, as Markdown. */
export function describeMachine(): readonly string[] {
  const processors = cpus();
  const model = processors[0]?.model ?? 'unknown processor';
  return [
    `${model.trim()}, ${processors.length} cores; Linux ${release()}; Node ${process.version}`,
    ['fwknopd', 'nft', 'iptables'].map(version).join('; '),
  ];
}

/** The first line of what a program says about itself. */
function version(program: string): string {
  const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  return stdout?.split('\n')[0]?.trim() || `${program} of unknown version`;
}
