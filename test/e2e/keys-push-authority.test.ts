import { pushReachesBastions } from './keys-push.ts';

pushReachesBastions('authority');
