from transformers import AutoModelForCausalLM, AutoTokenizer

import zu_framework as zu
from zu_framework import demo

model = AutoModelForCausalLM.from_pretrained(demo.model_path(), dtype="float32")
tokenizer = AutoTokenizer.from_pretrained(demo.model_path())
rewrites = [record["requested_rewrite"] for record in demo.records()[-3:]]
facts = [
    {"prompt": r["prompt"].format(r["subject"]), "subject": r["subject"], "answer": r["target_true"]["str"]}
    for r in rewrites
]

with zu.unlearn(model, tokenizer, facts, "demo") as edit:
    edit.save("my-edit")  # edit.safetensors and undo.safetensors
    for site, steps in edit.report["sites"].items():
        print(site, steps[0]["solver"]["relative_norm"])
# here the model is again what it was, to the bit
