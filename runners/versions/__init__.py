"""The versions of a served model: what there are, and what a person does with them, which lineage keeps."""
