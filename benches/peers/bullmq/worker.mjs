// The worker process: BullMQ's worker with defaults and this concurrency, and a job that does nothing.
//
// node worker.mjs JOBS CONCURRENCY, forked by bench.mjs: it tells when so many jobs are done, and gives account when
// asked.

import { Worker } from 'bullmq';
import { QUEUE, connection, micros } from './common.mjs';

const [jobs, concurrency] = process.argv.slice(2).map(Number);
const began = new Array(jobs).fill(0);
let again = 0;
let done = 0;

const worker = new Worker(
  QUEUE,
  async (job) => {
    if (began[job.data.n] !== 0) again++;
    began[job.data.n] = micros();
  },
  { connection: connection(), concurrency },
);
worker.on('error', (error) => console.error(`BullMQ's worker: ${error.message}`));
// It comes after Redis has taken the job as done.
worker.on('completed', () => {
  done++;
  if (done === 1) process.send({ warm: true });
  if (done === jobs) {
    const { user, system } = process.cpuUsage();
    process.send({ drained: { ended: micros(), cpu: user + system } });
  }
});

process.on('message', () => process.send({ account: { began, again } }));
// Its parent is done with it, or gone.
process.on('disconnect', async () => {
  await worker.close();
  process.exit(0);
});
