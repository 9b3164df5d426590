#!/usr/bin/env node
import { runSpaClient } from '../cli/spa-client.ts';

await runSpaClient();
