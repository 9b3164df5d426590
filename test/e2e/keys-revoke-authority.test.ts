import { revokingShutsOut } from './keys-push.ts';

revokingShutsOut('authority');
