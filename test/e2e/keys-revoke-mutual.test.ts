import { revokingShutsOut } from './keys-push.ts';

revokingShutsOut('mutual');
