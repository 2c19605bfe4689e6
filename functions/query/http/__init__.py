"""HTTP behind API Gateway: routes, validation, problems, OpenAPI. Knows nothing about movies."""
