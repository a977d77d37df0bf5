"""AWS's wire: signatures, protocols, the constraints of the service model, and how a refusal is worded."""
