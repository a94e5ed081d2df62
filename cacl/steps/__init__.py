"""The steps of the workflow, one module a step, one public function each."""
