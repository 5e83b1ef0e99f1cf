// The same call for a terminal and for Python. Long data is left to a file, which can be saved.

export const SHORT = 4000;

export function snippets(model, body, document) {
  const host = location.host;
  const secure = location.protocol === "https:";
  const given = body.length <= SHORT;
  const quoted = `'${body.replaceAll("'", "'\\''")}'`;
  const curl = `curl -s ${location.origin}/v2/models/${model}/infer \\\n  -d ${given ? quoted : "@request.json"}`;
  const inputs = document.inputs.map((input) => {
    const type = dtype(input.datatype);
    const data = given ? python(input.data) : `...`;
    return `    ${JSON.stringify(input.name)}: np.array(${data}, ${type}).reshape(${JSON.stringify(input.shape)}),`;
  }).join("\n");
  const sdk = `import numpy as np\nfrom onnxd_client import Client\n\nwith Client("${location.origin}") as client:\n  answer = client.infer(${JSON.stringify(model)}, {\n${inputs}\n  })\n  print(answer)`;
  const typed = {
    model_name: model,
    inputs: document.inputs.map((input) => ({
      name: input.name, datatype: input.datatype, shape: input.shape, contents: { [contents(input.datatype)]: input.data },
    })),
  };
  const grpcurl = `grpcurl ${secure ? "" : "-plaintext "}-d ${given ? `'${JSON.stringify(typed, exact).replaceAll("'", "'\\''")}'` : "@"} \\\n  ${host.replace(/:\d+$/, "")}:8001 inference.GRPCInferenceService/ModelInfer${given ? "" : " < request.json"}`;
  return [["curl", curl], ["Python", sdk], ["grpcurl", grpcurl]];
}

const exact = (_, value) => (value && typeof value === "object" && "exactly" in value ? value.exactly : value);

function python(data) {
  return JSON.stringify(data, exact).replaceAll("true", "True").replaceAll("false", "False");
}

function dtype(datatype) {
  const names = { BOOL: "bool", FP16: "np.float16", FP32: "np.float32", FP64: "np.float64", BYTES: "object" };
  return names[datatype] || `np.${datatype.toLowerCase()}`;
}

function contents(datatype) {
  if (datatype === "BYTES") return "bytes_contents";
  if (datatype === "BOOL") return "bool_contents";
  if (datatype === "FP32") return "fp32_contents";
  if (datatype === "FP64") return "fp64_contents";
  const unsigned = datatype.startsWith("U");
  return `${unsigned ? "uint" : "int"}${datatype.endsWith("64") ? "64" : ""}_contents`;
}
