// Answers 200 when the job is in the queue, as the documentation of Express and BullMQ shows it.
const express = require('express');
const { Queue } = require('bullmq');

const port = Number(process.argv[2]);
const queue = new Queue('webhooks', { connection: { host: '127.0.0.1', port: Number(process.env.REDIS_PORT) } });
const options = { attempts: 3, backoff: { type: 'exponential', delay: 2000 }, removeOnComplete: 1000 };
const app = express();

app.use(express.json({ limit: '8mb' }));
app.post('/', async (req, res) => {
  const data = {
    eventType: req.body.message.type,
    orgId: '00000000-0000-0000-0000-000000000001',
    body: req.body,
  };
  await queue.add('process-webhook', data, options);
  res.json({ success: true });
});
app.listen(port, '127.0.0.1');
