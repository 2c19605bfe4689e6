"""HTTP behind API Gateway: routes, validation, problems, OpenAPI. Nothing about movies."""
