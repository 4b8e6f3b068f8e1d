// What the bench and its worker share.

export const QUEUE = 'bench';

// The Redis of REDIS_URL, as BullMQ wants to be told of it.
export function connection() {
  const url = new URL(process.env.REDIS_URL);
  // null: commands are tried again for ever, which a worker insists on.
  return {
    host: url.hostname,
    port: Number(url.port),
    username: url.username,
    password: url.password,
    maxRetriesPerRequest: null,
  };
}

// Microseconds of the machine's steady clock, which is the same in all its processes.
export function micros() {
  return Number(process.hrtime.bigint() / 1000n);
}
