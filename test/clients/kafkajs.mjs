// Kafka with kafkajs: messages sent alone and together, with and without compression, and got by a consumer group.
import kafkajs from 'kafkajs'
import { did, done, port } from './account.mjs'

const kafka = new kafkajs.Kafka({ brokers: [`127.0.0.1:${port}`], logLevel: kafkajs.logLevel.ERROR, clientId: 'tester' })
const producer = kafka.producer()
await producer.connect()
let sent = 0
for (let i = 0; i < 30; i++) {
  const messages = Array.from({ length: i % 4 + 1 }, (_, k) => ({ key: `k${k}`, value: 'hunter2hunter2', headers: { n: `${i}` } }))
  const compression = i % 2 === 0 ? kafkajs.CompressionTypes.None : kafkajs.CompressionTypes.GZIP
  await producer.send({ topic: 'orders', messages, compression, acks: i % 3 === 0 ? 1 : -1 })
  sent += messages.length
}
did('send orders', sent)
await producer.disconnect()

const consumer = kafka.consumer({ groupId: 'workers', maxWaitTimeInMs: 200 })
await consumer.connect()
await consumer.subscribe({ topic: 'orders', fromBeginning: true })
let got = 0
await new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error(`${got} of ${sent} messages came`)), 25000)
  consumer.run({ eachMessage: async () => { if (++got === sent) resolve() } }).catch(reject)
})
did('poll orders', got)
await consumer.disconnect()
done()
