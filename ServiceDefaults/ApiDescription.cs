using System.Globalization;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;
using Platform.ServiceDefaults.Problems;
using Platform.ServiceDefaults.Security;

namespace Platform.ServiceDefaults;

/// <summary>Endpoint metadata: a request header that is not a parameter of the handler, and what it does, in a sentence.</summary>
public sealed record HeaderDescription(string Name, string Description);

/// <summary>Adds to <c>/openapi/v1.json</c> what follows from endpoint metadata: headers, security and error responses.</summary>
internal static class ApiDescription
{
    private const string TokenScheme = "internalToken";
    private const string KeyScheme = "apiKey";

    public static void AddApiDescription(this IServiceCollection services) => services.AddOpenApi("v1", options =>
    {
        options.AddDocumentTransformer((document, context, _) =>
        {
            document.Info.Title = context.ApplicationServices.GetRequiredService<IHostEnvironment>().ApplicationName;
            document.AddComponent<IOpenApiSecurityScheme>(TokenScheme, new OpenApiSecurityScheme
            {
                Type = SecuritySchemeType.ApiKey,
                In = ParameterLocation.Header,
                Name = InternalTokens.HeaderName,
                Description = "The secret that the platform's services share.",
            });
            if (context.ApplicationServices.GetService<IAuthenticationSchemeProvider>() is not null)
            {
                document.AddComponent<IOpenApiSecurityScheme>(KeyScheme, new OpenApiSecurityScheme
                {
                    Type = SecuritySchemeType.Http,
                    Scheme = "bearer",
                    Description = "An API key.",
                });
            }

            return Task.CompletedTask;
        });
        options.AddOperationTransformer(DescribeAsync);
    });

    private static Task DescribeAsync(OpenApiOperation operation, OpenApiOperationTransformerContext context, CancellationToken cancellationToken)
    {
        var metadata = context.Description.ActionDescriptor.EndpointMetadata;
        foreach (var header in metadata.OfType<HeaderDescription>())
        {
            operation.Parameters ??= [];
            operation.Parameters.Add(new OpenApiParameter
            {
                Name = header.Name,
                In = ParameterLocation.Header,
                Description = header.Description,
                Schema = new OpenApiSchema { Type = JsonSchemaType.String },
            });
        }

        operation.Responses ??= [];
        if (operation.Parameters?.Count > 0 || operation.RequestBody is not null)
        {
            AddProblem(operation.Responses, StatusCodes.Status400BadRequest);
        }

        if (operation.RequestBody is not null)
        {
            AddProblem(operation.Responses, StatusCodes.Status413PayloadTooLarge);
            AddProblem(operation.Responses, StatusCodes.Status415UnsupportedMediaType);
        }

        if (metadata.OfType<InternalTokenRequired>().Any())
        {
            AddProblem(operation.Responses, StatusCodes.Status401Unauthorized);
            operation.Security = [new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference(TokenScheme, context.Document)] = [] }];
        }

        // Policies are named after the scope that they require.
        if (metadata.OfType<IAuthorizeData>().LastOrDefault() is { Policy: { } scope })
        {
            AddProblem(operation.Responses, StatusCodes.Status401Unauthorized);
            AddProblem(operation.Responses, StatusCodes.Status403Forbidden);
            AddProblem(operation.Responses, StatusCodes.Status429TooManyRequests);
            operation.Security = [new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference(KeyScheme, context.Document)] = [scope] }];
        }

        AddProblem(operation.Responses, StatusCodes.Status503ServiceUnavailable);
        return Task.CompletedTask;
    }

    private static void AddProblem(OpenApiResponses responses, int status)
    {
        var key = status.ToString(CultureInfo.InvariantCulture);
        if (!responses.ContainsKey(key))
        {
            responses[key] = new OpenApiResponse
            {
                Description = Problem.TitleOf(status),
                Content = new Dictionary<string, OpenApiMediaType>(StringComparer.Ordinal)
                {
                    ["application/problem+json"] = new() { Schema = new OpenApiSchema { Type = JsonSchemaType.Object } },
                },
            };
        }
    }
}
