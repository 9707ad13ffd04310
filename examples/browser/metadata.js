// What a policy file says of itself. onnxruntime-web does not pass it on, so it is read from the file: an ONNX file is
// a protobuf message, of which all fields but the metadata are passed over.

const ENTRY = "edgerl"; // in the metadata; its value is JSON
const FORMAT = 1;
const METADATA = 14; // fields of ModelProto and of StringStringEntryProto, by onnx.proto
const KEY = 1;
const VALUE = 2;
const VARINT = 0; // wire types
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** The metadata of a policy that `edgerl export` wrote, from the bytes of its file; throws an Error for another file. */
export function metadata(bytes) {
  const text = entries(bytes).get(ENTRY);
  if (text === undefined) throw new Error("it is no policy that edgerl export wrote");
  const about = JSON.parse(text);
  if (about.format !== FORMAT) throw new Error(`its format is ${about.format}; this page reads format ${FORMAT}`);
  return about;
}

function entries(bytes) {
  const textByKey = new Map();
  const decoder = new TextDecoder();
  for (const [number, entry] of fields(bytes)) {
    if (number !== METADATA) continue;
    const strings = new Map(fields(entry));
    textByKey.set(decoder.decode(strings.get(KEY)), decoder.decode(strings.get(VALUE)));
  }
  return textByKey;
}

/** The number of each field of a message and its bytes, or its whole number. */
function* fields(message) {
  const reader = { message, at: 0 };
  while (reader.at < message.length) {
    const key = varint(reader);
    const wire = key % 8;
    if (wire === VARINT) yield [Math.floor(key / 8), varint(reader)];
    else yield [Math.floor(key / 8), take(reader, length(reader, wire))];
  }
}

function length(reader, wire) {
  if (wire === BYTES) return varint(reader);
  if (wire === FIXED64) return 8;
  if (wire === FIXED32) return 4;
  throw new Error("it is no ONNX file");
}

function take(reader, count) {
  if (count > reader.message.length - reader.at) throw new Error("it ends too early");
  reader.at += count;
  return reader.message.subarray(reader.at - count, reader.at);
}

function varint(reader) {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    const [byte] = take(reader, 1);
    value += (byte % 128) * scale;
    if (byte < 128) return value;
  }
}
