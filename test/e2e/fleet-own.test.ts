import { testFleet } from './fleet.ts';

testFleet({
  title:
    '30 operators, 20 bastions with spa-server, one key that certifies all, each key made where it is used',
  daemon: 'spa-server',
  topology: 'authority',
  keys: 'at-home',
});
