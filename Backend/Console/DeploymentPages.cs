using Microsoft.AspNetCore.Http.HttpResults;
using Platform.Backend.Console.Pages;
using Platform.Backend.Deployments;
using Platform.Backend.Shops;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Console;

/// <summary>The page of a deployment, and the buttons that make, stop and repeat deployments.</summary>
internal static class DeploymentPages
{
    public static async Task<IResult> Show(
        Guid id, Guid deploymentId, string? updates, FindShop findShop, FindDeployment findDeployment, TimeProvider time, CancellationToken cancellationToken)
    {
        if (await findShop.ExecuteAsync(id, cancellationToken) is not { } shop
            || await findDeployment.ExecuteAsync(deploymentId, cancellationToken) is not { } deployment
            || deployment.ShopId != id)
            return Problem.NotFound("There is no such deployment of this shop.");

        return new PageResult<DeploymentPage>(new()
        {
            [nameof(DeploymentPage.Shop)] = shop,
            [nameof(DeploymentPage.Deployment)] = deployment,
            [nameof(DeploymentPage.RefreshSeconds)] = updates == "off" ? null : Refreshing.Seconds([deployment], shop, time.GetUtcNow()),
        });
    }

    public static Task<Results<Accepted<Deployment>, ValidationProblem, ProblemHttpResult>> Deploy(
        Guid id, RequestDeployment request, CancellationToken cancellationToken) =>
        request.ExecuteAsync(id, new DeploymentInput(), cancellationToken);

    public static async Task<Results<Accepted<Deployment>, ValidationProblem, ProblemHttpResult>> RollBack(
        Guid id, HttpRequest request, RollBackShop rollBack, CancellationToken cancellationToken)
    {
        if ((await request.ReadFormAsync(cancellationToken))["release"] is not [{ } text] || !Guid.TryParse(text, out var release))
            return Problem.BadRequest("The form does not say which release to roll back to.");
        return await rollBack.ExecuteAsync(id, new RollbackInput { Release = release }, cancellationToken);
    }

    public static Task<Results<Accepted<Deployment>, ProblemHttpResult>> Cancel(
        Guid deploymentId, CancelDeployment cancel, CancellationToken cancellationToken) =>
        cancel.ExecuteAsync(deploymentId, cancellationToken);

    public static Task<Results<Accepted<Deployment>, ProblemHttpResult>> Retry(
        Guid deploymentId, RetryDeployment retry, CancellationToken cancellationToken) =>
        retry.ExecuteAsync(deploymentId, cancellationToken);
}

/// <summary>How often a page reads itself again while something goes on: less and less, so that an open tab costs nothing while it waits for hours.</summary>
internal static class Refreshing
{
    /// <summary>Seconds between two readings, or null when nothing goes on.</summary>
    public static int? Seconds(IEnumerable<Deployment> deployments, Shop shop, DateTimeOffset now)
    {
        var changing = deployments.Where(deployment => !deployment.IsFinal).Select(deployment => deployment.CreatedAt).ToList();
        if (changing.Count == 0)
            return shop.Status == ShopStatus.Deleting ? 2 : null;

        return (now - changing.Max()) switch
        {
            { TotalSeconds: < 30 } => 1,
            { TotalMinutes: < 5 } => 5,
            _ => 15,
        };
    }
}
