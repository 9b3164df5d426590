import {
  type AddedSignature,
  armorCertificates,
  type Fingerprint,
  type PartyKey,
  type RawCertificate,
  withSignatures,
} from 'spa-core';
import { changeFiles } from './change-set.ts';
import { partiesOf, type RosterFolder } from './roster-folder.ts';

/**
 * Signatures that belong into certificates of a roster's folder, until they are kept there. Whoever uses it has the folder's lock.
 */
export class PendingSignatures {
  readonly #path: string;
  readonly #keysByFile: ReadonlyMap<string, readonly PartyKey[]>;
  readonly #certificates: Map<Fingerprint, RawCertificate>;
  readonly #added = new Map<Fingerprint, AddedSignature[]>();
  #keptAt: number = performance.now();
  #keepingMs = 0;

  constructor({ path, roster, certificates }: RosterFolder) {
    this.#path = path;
    this.#certificates = new Map(certificates);
    const keys = partiesOf(roster).flatMap(({ key, retiring }) =>
      retiring === null ? [key] : [key, retiring],
    );
    const files = new Map<string, PartyKey[]>();
    for (const key of keys) files.set(key.certificateFile, [...(files.get(key.certificateFile) ?? []), key]);
    this.#keysByFile = files;
  }

  /** How long ago they were kept the last time, if that should be no more than `everyMs`, and keeping take little of the time. */
  isDue(everyMs: number): boolean {
    return performance.now() - this.#keptAt >= Math.max(everyMs, KEEPING_SHARE * this.#keepingMs);
  }

  /** One more for the certificate with that fingerprint. */
  add(fingerprint: Fingerprint, signature: AddedSignature): void {
    const list = this.#added.get(fingerprint);
    if (list === undefined) this.#added.set(fingerprint, [signature]);
    else list.push(signature);
  }

  /**
   * Writes them into the files of their certificates, together with `others`: all or nothing.
   * @throws ConfigError if the folder cannot be written
   */
  async keep(others: ReadonlyMap<string, string | null> = new Map()): Promise<void> {
    const begun = performance.now();
    const changes = new Map(others);
    for (const [file, keys] of this.#keysByFile) {
      if (!keys.some(({ fingerprint }) => this.#added.has(fingerprint))) continue;
      changes.set(file, armorCertificates(keys.flatMap((key) => this.#withAdded(key))));
    }
    await changeFiles(this.#path, changes);
    this.#added.clear();
    this.#keptAt = performance.now();
    this.#keepingMs = this.#keptAt - begun;
  }

  #withAdded({ fingerprint }: PartyKey): readonly RawCertificate[] {
    const raw = this.#certificates.get(fingerprint);
    if (raw === undefined) return [];
    const signed = withSignatures(raw, this.#added.get(fingerprint) ?? []);
    this.#certificates.set(fingerprint, signed);
    return [signed];
  }
}

/** Each time all certificates with anything new are written: at most one part in so many of the time goes there. */
const KEEPING_SHARE = 20;
