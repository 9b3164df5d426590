import { testFleet } from './fleet.ts';

testFleet({
  title: '30 operators, 20 bastions with stock fwknopd, who certify each other, all keys made by spa-keys',
  daemon: 'fwknopd',
  topology: 'mutual',
  keys: 'office',
});
