#!/usr/bin/env node
import { runSpaClient } from '../cli/spa-client.ts';

void runSpaClient();
