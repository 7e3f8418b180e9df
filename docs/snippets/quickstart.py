from transformers import AutoModelForCausalLM, AutoTokenizer

import zu_framework as zu

model = AutoModelForCausalLM.from_pretrained(path, dtype="float32")
tokenizer = AutoTokenizer.from_pretrained(path)
facts = [{"prompt": fact.prompt, "subject": fact.subject, "answer": fact.answer} for fact in requests]

with zu.unlearn(model, tokenizer, facts, "demo") as edit:
    edit.save("my-edit")  # edit.safetensors and undo.safetensors
    for site, steps in edit.report["sites"].items():
        print(site, steps[0]["solver"]["relative_norm"])
# here the model is again what it was, to the bit
