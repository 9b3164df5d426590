import t from 'tap';
import { createMemoryReplayStore } from '../src/replay/memory.ts';
import { testReplayStore } from './replay-contract.ts';

testReplayStore(t, async (_, nowSeconds) => createMemoryReplayStore({ floorSeconds: nowSeconds + 1 }));
