import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { SealingFiles, SealingPlan } from 'spa-core';
import { readPrivateFile, writePrivateFile } from 'spa-host';
import { stateDirectory } from './region-state.ts';

/** What the library has decided about these key files for a time that `nowSeconds` is in; null if nothing. Never throws. */
export function readSealingPlan(files: SealingFiles, nowSeconds: number): SealingPlan | null {
  try {
    const plan = parsePlan(JSON.parse(readPrivateFile(planFile(files)).toString('utf8')));
    return plan !== null && plan.fromSeconds <= nowSeconds && nowSeconds < plan.untilSeconds ? plan : null;
  } catch {
    return null;
  }
}

/** Remembers a plan in a file of the user's own. If that cannot be done, nothing happens. */
export function writeSealingPlan(files: SealingFiles, plan: SealingPlan): void {
  try {
    const file = planFile(files);
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writePrivateFile(file, `${JSON.stringify(plan)}\n`);
  } catch {
    // The next run asks the library again.
  }
}

/** One bit of either file changed, and the plan is another's. */
function planFile({ signer, recipient }: SealingFiles): string {
  const digest = createHash('sha256');
  for (const data of [signer, recipient]) digest.update(`${data.length}:`).update(data);
  return join(stateDirectory(), 'openpgp', `${digest.digest('hex').slice(0, 32)}.json`);
}

const CIPHERS: readonly unknown[] = ['aes128', 'aes192', 'aes256'] satisfies SealingPlan['cipher'][];
const HASHES: readonly unknown[] = ['sha256', 'sha384', 'sha512'] satisfies SealingPlan['hash'][];

function parsePlan(content: unknown): SealingPlan | null {
  const plan = content as SealingPlan;
  const { encryptTo, signWith, cipher, hash, fromSeconds, untilSeconds } = plan;
  const isPlan =
    [encryptTo, signWith].every((fingerprint) => /^[0-9A-F]{40}$/.test(fingerprint)) &&
    CIPHERS.includes(cipher) &&
    HASHES.includes(hash) &&
    [fromSeconds, untilSeconds].every(Number.isSafeInteger);
  return isPlan ? plan : null;
}
