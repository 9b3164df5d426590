#!/usr/bin/env node
import { runSshbh } from '../cli/sshbh.ts';

await runSshbh();
