#!/usr/bin/env node
import { runSpaKeys } from '../cli/keys/spa-keys.ts';

void runSpaKeys();
