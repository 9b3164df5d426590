#!/usr/bin/env node
import { runSshbh } from '../cli/sshbh.ts';

void runSshbh();
