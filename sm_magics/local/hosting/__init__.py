"""SageMaker hosting and runtime: models, configurations, endpoints, and what answers for them."""
