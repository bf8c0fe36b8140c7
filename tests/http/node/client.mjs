// SPDX-License-Identifier: MIT
// Does what argv says with OpenAI's Node client, and prints what came of it as one line of JSON.
//   node client.mjs URL MODEL RECORDING WHAT    WHAT: a name in `can`
import { createReadStream, readFileSync } from 'node:fs'
import { File } from 'node:buffer'
globalThis.File ??= File // Node 18, as the client itself advises
const { default: OpenAI, toFile } = await import('openai')

const [url, model, recording, what] = process.argv.slice(2)
const api = new OpenAI({ baseURL: url, apiKey: 'none', maxRetries: 0, timeout: 300_000 })
const transcribe = (more = {}) =>
  api.audio.transcriptions.create({ model, file: createReadStream(recording), ...more })

const can = {
  json: () => transcribe(),
  buffer: async () => transcribe({ file: await toFile(readFileSync(recording), 'speech.flac') }),
  text: () => transcribe({ response_format: 'text' }),
  srt: () => transcribe({ response_format: 'srt' }),
  words: () =>
    transcribe({
      response_format: 'verbose_json',
      timestamp_granularities: ['word', 'segment'],
      language: 'en',
      temperature: 0,
    }),
  logprobs: () => transcribe({ include: ['logprobs'] }),
  vad: () => transcribe({ chunking_strategy: { type: 'server_vad', threshold: 0.4, silence_duration_ms: 300 } }),
  stream: async () => {
    const events = []
    for await (const event of await transcribe({ stream: true, include: ['logprobs'] })) events.push(event)
    return events
  },
  // Leaves after the first event; whoever started this looks whether the daemon is free again.
  leave: async () => {
    for await (const event of await transcribe({ stream: true })) return event
  },
  translation: () => api.audio.translations.create({ model, file: createReadStream(recording) }),
  translationWords: () =>
    api.audio.translations.create({ model, file: createReadStream(recording), response_format: 'verbose_json' }),
  models: async () => {
    const found = []
    for await (const each of api.models.list()) found.push(each)
    return found
  },
  model: () => api.models.retrieve(model),
  missing: () => api.models.retrieve('gpt-4o-transcribe'),
  badFormat: () => transcribe({ response_format: 'diarized_json' }),
  badFile: async () => transcribe({ file: await toFile(Buffer.from('not audio'), 'notes.txt') }),
}

let answer
try {
  answer = { answer: await can[what]() }
} catch (error) {
  if (!(error instanceof OpenAI.APIError)) throw error
  const { status, type, code, param, message, requestID } = error
  answer = { error: { name: error.constructor.name, status, type, code, param, message, requestID } }
}
console.log(JSON.stringify(answer))
