// The measures of benches/engine.rs, taken of BullMQ: accepting, draining, and how soon a job starts.
//
// node bench.mjs JOBS CONCURRENCY, with REDIS_URL (a Redis of its own: it is emptied) and, for the server's
// CPU, REDIS_PID. benches/peers/run calls it.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { QUEUE, connection, micros } from './common.mjs';

// Jobs of one addBulk, as of one statement in the engine's bench.
const BULK = 500;
// Jobs of the latency measure, one each 20 ms.
const TOLD = 500;
// Payloads weigh what those of the engine's bench do, some 300 bytes.
const BALLAST = 'x'.repeat(240);
// Of what BullMQ's guide offers for jobs that are done, what costs Redis least: it keeps none. Those that failed are
// kept, to be counted.
const OPTIONS = { removeOnComplete: true, removeOnFail: 5000 };

const [jobs, concurrency] = process.argv.slice(2).map(Number);
if (!(jobs > 0 && concurrency > 0)) throw new Error('usage: node bench.mjs JOBS CONCURRENCY');

const redis = new Redis(connection());
// One queue, which is one connection, for the whole process, as the guide has it: its commands are pipelined.
const queue = new Queue(QUEUE, { connection: connection(), defaultJobOptions: OPTIONS });

await enqueue();
await bulk();
for (let round = 0; round < 3; round++) await drain();
await latency();
await empty();
await queue.close();
redis.disconnect();

// One job at a time from as many callers, each told once Redis has it.
async function enqueue() {
  await empty();
  let next = 0;
  const begun = micros();
  const caller = async () => {
    while (next < jobs) await queue.add('bench', payload(next++));
  };
  await Promise.all(Array.from({ length: concurrency }, caller));
  printRate('enqueue_single', jobs, micros() - begun);
  await holds({ waiting: jobs });
}

// Many jobs a call.
async function bulk() {
  await empty();
  const begun = micros();
  await fill();
  printRate('enqueue_bulk', jobs, micros() - begun);
  await holds({ waiting: jobs });
}

// As many jobs as there are, done by one worker.
async function drain() {
  await empty();
  await fill();
  const before = redisCpu();
  const worker = await start(jobs);
  const { ended, cpu } = await told(worker, 'drained');
  const after = redisCpu();
  // Whatever ran twice has done so by now: nothing waits, nothing is under way.
  await holds({});
  const began = await eachOnce(worker, jobs);
  await end(worker);

  const first = began.reduce((a, b) => Math.min(a, b));
  print('drain', jobs / ((ended - first) / 1e6), 'jobs/s');
  print('drain_worker_cpu', cpu / jobs, 'us/job');
  if (before !== undefined) print('drain_redis_cpu', ((after - before) / jobs) * 1e6, 'us/job');
}

// An idle worker and one job each 20 ms: from asking to running.
async function latency() {
  await empty();
  const worker = await start(TOLD + 1);
  const [warm, drained] = [told(worker, 'warm'), told(worker, 'drained')];
  // The job that warms the worker up, whose wait does not count.
  await queue.add('bench', payload(TOLD));
  await warm;

  const asked = [];
  const begun = micros();
  for (let n = 0; n < TOLD; n++) {
    await sleep(Math.max(0, (begun - micros()) / 1e3 + n * 20));
    asked.push(micros());
    await queue.add('bench', payload(n));
  }
  await drained;
  const began = await eachOnce(worker, TOLD + 1);
  await end(worker);
  printSpans('enqueue_to_start', asked.map((at, n) => (began[n] - at) / 1e3));
}

function payload(n) {
  return { n, does: 'nothing', ballast: BALLAST };
}

// All jobs, BULK in a call and two calls at a time.
async function fill() {
  let next = 0;
  const caller = async () => {
    while (next < jobs) {
      const first = next;
      next = Math.min(jobs, first + BULK);
      const batch = Array.from({ length: next - first }, (_, i) => ({ name: 'bench', data: payload(first + i) }));
      await queue.addBulk(batch);
    }
  };
  await Promise.all([caller(), caller()]);
}

async function empty() {
  await redis.flushall();
  await queue.waitUntilReady();
}

// Makes sure that the queue holds so many jobs in these states, and none in any other.
async function holds(wanted) {
  const states = ['waiting', 'active', 'completed', 'failed', 'delayed', 'prioritized', 'waiting-children'];
  const counts = await queue.getJobCounts(...states);
  for (const state of states) {
    if (counts[state] !== (wanted[state] ?? 0)) {
      throw new Error(`${counts[state]} jobs are ${state}, and should be ${wanted[state] ?? 0}`);
    }
  }
}

// A worker process that expects jobs of numbers below this one; it ends with this one, or when told.
async function start(expected) {
  const worker = fork(new URL('worker.mjs', import.meta.url), [String(expected), String(concurrency)]);
  worker.once('exit', (code) => {
    if (!worker.ending) throw new Error(`the worker ended with status ${code}`);
  });
  return worker;
}

// What the worker sends under that name.
function told(worker, name) {
  return new Promise((resolve) => {
    const hear = (message) => {
      if (!(name in message)) return;
      worker.off('message', hear);
      resolve(message[name]);
    };
    worker.on('message', hear);
  });
}

// When each of so many jobs began, if each did exactly once.
async function eachOnce(worker, expected) {
  const account = told(worker, 'account');
  worker.send('account');
  const { began, again } = await account;
  const ran = began.filter((at) => at > 0).length;
  if (ran !== expected || again !== 0) {
    throw new Error(`of ${expected} jobs ${ran} ran, and ${again} times one ran again`);
  }
  return began;
}

async function end(worker) {
  worker.ending = true;
  const ended = once(worker, 'exit');
  worker.disconnect();
  await ended;
}

// CPU seconds of Redis, by Linux' own account.
function redisCpu() {
  if (!process.env.REDIS_PID) return undefined;
  const stat = readFileSync(`/proc/${process.env.REDIS_PID}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function print(measure, value, unit) {
  const settings = { jobs, concurrency, remove_on_complete: OPTIONS.removeOnComplete };
  console.log(JSON.stringify({ measure: `bullmq_${measure}`, value, unit, settings }));
}

function printRate(measure, done, span) {
  print(measure, done / (span / 1e6), '1/s');
}

function printSpans(measure, spans) {
  spans.sort((a, b) => a - b);
  const at = (share) => spans[Math.min(Math.floor((spans.length * share) / 100), spans.length - 1)];
  print(`${measure}_p50`, at(50), 'ms');
  print(`${measure}_p99`, at(99), 'ms');
}
