// How graphql-codegen makes the client: tests/clients/test_clients.py runs it as it stands here.
import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
  schema: "../../../gateway/schema.graphql",
  documents: "../documents/*.graphql",
  generates: {
    "./crm/": {
      preset: "client",
      config: {
        useTypeImports: true,
        strictScalars: true,
        scalars: { DateTime: "string", Date: "string", Decimal: "string", Long: "number", JSON: "unknown" },
      },
      presetConfig: { fragmentMasking: false },
    },
  },
};

export default config;
