/** So many datagrams are read at once: what is done with them is done before anything else. */
export const DATAGRAMS_PER_READ = 64;

/** Datagrams that wait in the kernel while the daemon is busy: about 40,000 small packets, 14,000 large ones. */
export const RECEIVE_BUFFER_BYTES: number = 16 * 1024 * 1024;
