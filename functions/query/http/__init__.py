"""HTTP behind API Gateway: routes, validation, problems, OpenAPI. Knows nothing of movies."""
