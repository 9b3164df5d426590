import { join } from 'node:path';
import type { Firewall } from '../firewall/firewall.ts';
import type { Log } from '../system/log.ts';
import { type Connections, type Cut, cutConnections } from './cut.ts';
import { Doorkeeper, type GrantRecord } from './doorkeeper.ts';
import { steadyNow } from './ledger.ts';
import { type LedgerFile, openLedgerFile, readLedgerFile } from './ledger-file.ts';

/** The doorkeeper of this host. What it has to remember lies in the daemon's run folder; null: it remembers nothing. */
export function createDoorkeeper(firewall: Firewall, log: Log, runFolder: string | null): Doorkeeper {
  return new Doorkeeper({
    firewall,
    log,
    record: runFolder === null ? null : recordIn(runFolder, log),
    now: steadyNow,
    wallNow: Date.now,
    cut,
  });
}

/** A doorkeeper that only looks: it changes neither doors nor what is remembered. */
export function createOnlooker(firewall: Firewall, log: Log, runFolder: string): Doorkeeper {
  const record: GrantRecord = {
    read: () => ({ ...recordIn(runFolder, log).read(), revoked: [] }),
    begin: () => NOTHING_WRITTEN,
    resume: () => NOTHING_WRITTEN,
  };
  return new Doorkeeper({ firewall, log, record, now: steadyNow, wallNow: Date.now, cut });
}

const NOTHING_WRITTEN: LedgerFile = {
  added: () => {},
  revoked: () => {},
  marked: () => {},
  close: () => {},
};

function cut(connections: readonly Connections[]): Promise<Cut> {
  return cutConnections(connections);
}

function recordIn(runFolder: string, log: Log): GrantRecord {
  const path = join(runFolder, 'spa-server.grants');
  const onTrouble = (error: Error | null): void => {
    if (error === null) log.warning(`grants are recorded again in ${path}`);
    else log.error(`grants are not recorded any more: ${error.message}`);
  };
  return {
    read: () => readLedgerFile(path),
    begin: (grants) => openLedgerFile({ path, grants, onTrouble }),
    resume: (content, grants) => openLedgerFile({ path, grants, resume: content, onTrouble }),
  };
}
